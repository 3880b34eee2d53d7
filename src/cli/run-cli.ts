import type { Configuration } from '../config/configuration.ts';
import { isTidemarkError } from '../core/errors.ts';
import { errorLine, errorText } from './error-report.ts';
import { DONE, exitStatusOf } from './exit-status.ts';
import { OutputClosedError } from './output-stream.ts';
import { packageVersion } from './package-version.ts';
import { parseArguments } from './program.ts';
import type { ParsedCommand } from './program.ts';
import { wantsColours } from './session.ts';
import type { CliProcess, Session } from './session.ts';
import { createTerminalLine } from './terminal-line.ts';

/** Runs one command line to its end and returns the exit status. It never throws. */
export async function runCli(process: CliProcess): Promise<number> {
  const session = createSession(process);
  try {
    const status = await run(session);
    await process.output.finish();
    return status;
  } catch (error) {
    return reportFailure(session, error);
  }
}

/** Tells of an error that came up outside of everything that is waited for; returns the exit status. */
export function reportUncaught(process: CliProcess, error: unknown): number {
  return reportFailure(createSession(process), error);
}

function createSession(process: CliProcess): Session {
  return { process, json: wantsJson(process.argv), line: createTerminalLine(process.errors), warnings: [] };
}

async function run(session: Session): Promise<number> {
  const { process, line } = session;
  const { output, environment } = process;
  const layout = { columns: output.columns, colours: wantsColours(environment, output) };
  const parsed = parseArguments(process.argv, await packageVersion(), layout);
  if (parsed.kind === 'text') {
    output.write(parsed.text);
    return DONE;
  }
  const announce = (): void => line.message('stopping; the same again stops at once');
  process.run.signal.addEventListener('abort', announce, { once: true });
  // A mistake in the manifest is told before the code of the command is loaded, which takes longer than to find it.
  const configuration = await neededConfiguration(parsed, process);
  const { runCommand } = await import('./run-command.ts');
  return await runCommand(session, parsed, configuration);
}

async function neededConfiguration(
  { entry, globals }: ParsedCommand,
  process: CliProcess,
): Promise<Configuration | undefined> {
  const { needs } = entry.spec;
  if (needs === 'nothing' || (globals.repository !== undefined && globals.file === undefined)) return undefined;
  const { readConfiguration } = await import('./read-configuration.ts');
  try {
    return await readConfiguration(globals.file, process);
  } catch (error) {
    if (needs === 'optional manifest' && isTidemarkError(error, 'CONFIG_NOT_FOUND')) return undefined;
    throw error;
  }
}

/** Tells of an error in both forms, with what was warned of before; the status is the one of the most serious error that came together. */
function reportFailure({ process, json, line, warnings }: Session, thrown: unknown): number {
  const { signal } = process.run;
  line.clear();
  if (thrown instanceof OutputClosedError) return DONE;
  // What fails after the signal, fails because of it.
  const error: unknown = signal.aborted && !isTidemarkError(thrown) ? signal.reason : thrown;
  for (const text of errorText(error)) line.message(text);
  if (json) process.output.write(`${JSON.stringify({ type: 'error', ...errorLine(error), warnings })}\n`);
  return exitStatusOf(error);
}

/** Looked for by hand, since the rest of the line may be what is wrong. */
function wantsJson(argv: readonly string[]): boolean {
  const end = argv.indexOf('--');
  return argv.slice(0, end < 0 ? argv.length : end).includes('--json');
}
