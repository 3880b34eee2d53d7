import type { ProgressSink } from '../app/progress.ts';
import type { Configuration } from '../config/configuration.ts';
import { printable } from '../core/printable.ts';
import type { Logger } from '../core/run.ts';
import type { EndedCommand } from './command-table.ts';
import type { GlobalOptions } from './context.ts';
import { createContext } from './create-context.ts';
import { DONE } from './exit-status.ts';
import { writeResultLine } from './json-result.ts';
import { createLogger } from './logger.ts';
import { OutputClosedError } from './output-stream.ts';
import { createPrinter } from './printer.ts';
import type { ParsedCommand } from './program.ts';
import { createJsonProgress, createTerminalProgress, noProgress } from './progress.ts';
import { wantsColours } from './session.ts';
import type { CliProcess, Session } from './session.ts';

/** Runs one command and prints its result. `configuration`: of its manifest, when that has been read. Returns the exit status. */
export async function runCommand(
  session: Session,
  { entry, input, globals }: ParsedCommand,
  configuration: Configuration | undefined,
): Promise<number> {
  const { process, json, line, warnings } = session;
  const command = entry.spec.name;
  const startedMs = process.clock.monotonicMs();
  const context = createContext({
    process,
    options: globals,
    configuration,
    logger: sessionLogger(session, globals),
    progress: sessionProgress(session, globals, command),
    line,
    warn: (message) => {
      warnings.push(message);
      if (!json) line.message(`${paintedWarning(process)} ${printable(message)}`);
    },
  });
  const end = await entry.run(context.command, input);
  for (const warning of end.warnings ?? []) context.command.warn(warning);
  line.clear();
  const durationMs = (): number => Math.round(process.clock.monotonicMs() - startedMs);
  try {
    const isQuiet = globals.quiet || end.quiet === true;
    if (json) await writeResultLine(process.output, { command, result: end.result, durationMs, warnings });
    else if (isQuiet && end.isReport) context.command.show((printer) => end.printTrouble(printer));
    else await printText(process, { end, globals, zone: context.zone() });
  } catch (error) {
    if (!(error instanceof OutputClosedError)) throw error;
  }
  return end.status ?? DONE;
}

async function printText(
  { environment, output }: CliProcess,
  { end, globals, zone }: { readonly end: EndedCommand; readonly globals: GlobalOptions; readonly zone: string },
): Promise<void> {
  const colours = !globals.noColor && wantsColours(environment, output);
  await end.print(createPrinter({ stream: output, colours, unicode: environment.unicode, zone }));
}

function sessionLogger({ process, json, line }: Session, { logLevel, quiet }: GlobalOptions): Logger {
  return createLogger({
    level: logLevel ?? (quiet ? 'error' : 'warn'),
    json,
    nowMs: () => process.clock.nowMs(),
    write: (text) => line.message(text),
  });
}

function sessionProgress({ process, json, line }: Session, { quiet }: GlobalOptions, command: string): ProgressSink {
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
