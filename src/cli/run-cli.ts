import type { Environment } from '../config/environment.ts';
import { isTidemarkError } from '../core/errors.ts';
import { printable } from '../core/printable.ts';
import type { Clock, Logger, Run } from '../core/run.ts';
import type { EndedCommand } from './command-table.ts';
import type { GlobalOptions } from './context.ts';
import { createContext } from './create-context.ts';
import { errorLine, errorText } from './error-report.ts';
import { DONE, exitStatusOf, mostSerious } from './exit-status.ts';
import { writeResultLine } from './json-result.ts';
import { createLogger } from './logger.ts';
import { OutputClosedError } from './output-stream.ts';
import type { OutputStream } from './output-stream.ts';
import { createPrinter } from './printer.ts';
import { packageVersion } from './package-version.ts';
import { parseArguments } from './program.ts';
import type { Parsed } from './program.ts';
import { createJsonProgress, createTerminalProgress, noProgress } from './progress.ts';
import type { TerminalInput } from './prompt.ts';
import { createTerminalLine } from './terminal-line.ts';
import type { TerminalLine } from './terminal-line.ts';

/** The process, as far as the command line knows it. */
export type CliProcess = {
  readonly argv: readonly string[];
  readonly environment: Environment;
  readonly workingFolder: string;
  input(): TerminalInput;
  readonly output: OutputStream;
  readonly errors: OutputStream;
  readonly clock: Clock;
  readonly run: Run;
};

/** Runs one command line to its end and returns the exit status. It never throws. */
export async function runCli(process: CliProcess): Promise<number> {
  const session = createSession(process);
  let status: number;
  try {
    status = await runParsed(session, await parse(process));
    await process.output.finish();
  } catch (error) {
    status = reportFailure(session, error);
  }
  return status;
}

/** Tells of an error that came up outside of everything that is waited for; returns the exit status. */
export function reportUncaught(process: CliProcess, error: unknown): number {
  return reportFailure(createSession(process), error);
}

type Session = { readonly process: CliProcess; readonly json: boolean; readonly line: TerminalLine };

function createSession(process: CliProcess): Session {
  return { process, json: wantsJson(process.argv), line: createTerminalLine(process.errors) };
}

async function parse(process: CliProcess): Promise<Parsed> {
  const { output, environment } = process;
  return parseArguments(process.argv, await packageVersion(), {
    columns: output.columns,
    colours: wantsColours(environment, output),
  });
}

async function runParsed(session: Session, parsed: Parsed): Promise<number> {
  const { process, json, line } = session;
  if (parsed.kind === 'text') {
    process.output.write(parsed.text);
    return DONE;
  }
  const { entry, input, globals } = parsed;
  const command = entry.spec.name;
  const startedMs = process.clock.monotonicMs();
  const warnings: string[] = [];
  const context = createContext({
    process,
    options: globals,
    logger: sessionLogger(session, globals),
    progress: sessionProgress(session, globals, command),
    line,
    warn: (message) => {
      warnings.push(message);
      if (!json) line.message(`${paintedWarning(process)} ${printable(message)}`);
    },
  });
  announceInterruption(session);
  const end = await entry.run(context.command, input);
  for (const warning of end.warnings ?? []) context.command.warn(warning);
  line.clear();
  const durationMs = (): number => Math.round(process.clock.monotonicMs() - startedMs);
  try {
    if (json) await writeResultLine(process.output, { command, result: end.result, durationMs, warnings });
    else await printText(session, end, globals, context.zone());
  } catch (error) {
    if (!(error instanceof OutputClosedError)) throw error;
  }
  return end.status ?? DONE;
}

async function printText({ process }: Session, end: EndedCommand, globals: GlobalOptions, zone: string): Promise<void> {
  const colours = !globals.noColor && wantsColours(process.environment, process.output);
  await end.print(createPrinter({ stream: process.output, colours, zone }));
}

/** Tells of an error in both forms; the status is the one of the most serious error that came together. */
function reportFailure({ process, json, line }: Session, thrown: unknown): number {
  const { output, run } = process;
  line.clear();
  if (thrown instanceof OutputClosedError) return DONE;
  // What fails after the signal, fails because of it.
  const error: unknown = run.signal.aborted && !isTidemarkError(thrown) ? run.signal.reason : thrown;
  for (const text of errorText(error)) line.message(text);
  if (json) output.write(`${JSON.stringify({ type: 'error', ...errorLine(error) })}\n`);
  return mostSerious([exitStatusOf(error)]);
}

function announceInterruption({ process, line }: Session): void {
  const { signal } = process.run;
  signal.addEventListener('abort', () => line.message('stopping; the same again stops at once'), { once: true });
}

function sessionLogger({ process, json, line }: Session, { logLevel, quiet }: GlobalOptions): Logger {
  return createLogger({
    level: logLevel ?? (quiet ? 'error' : 'warn'),
    json,
    nowMs: () => process.clock.nowMs(),
    write: (text) => line.message(text),
  });
}

function sessionProgress(
  { process, json, line }: Session,
  { quiet }: GlobalOptions,
  command: string,
): ReturnType<typeof createJsonProgress> {
  const { clock, output, errors } = process;
  if (json) {
    return createJsonProgress(
      (progress) => output.write(`${JSON.stringify({ type: 'progress', command, ...progress })}\n`),
      clock,
    );
  }
  return quiet || !errors.isTerminal ? noProgress : createTerminalProgress(line, clock);
}

function paintedWarning({ environment, errors }: CliProcess): string {
  return wantsColours(environment, errors) ? '\u001b[33mwarning:\u001b[39m' : 'warning:';
}

function wantsColours({ colour }: Environment, stream: OutputStream): boolean {
  return colour === 'always' || (colour === 'auto' && stream.isTerminal);
}

/** Looked for by hand, since the rest of the line may be what is wrong. */
function wantsJson(argv: readonly string[]): boolean {
  const end = argv.indexOf('--');
  return argv.slice(0, end < 0 ? argv.length : end).includes('--json');
}
