import { readEnvironment } from '../config/environment.ts';
import { createSystemClock } from '../flow/clock.ts';
import { TidemarkError } from '../core/errors.ts';
import { boundNewSpace } from './heap-flags.ts';
import { OutputStream } from './output-stream.ts';
import { reportUncaught, runCli } from './run-cli.ts';
import type { CliProcess } from './session.ts';

/** The only file that touches the process: its arguments, streams, signals and exit status. */

const INTERRUPTED_STATUS = 130;
const TERMINATED_STATUS = 143;

boundNewSpace();

const stop = new AbortController();
let interruption = INTERRUPTED_STATUS;

function onSignal(status: number, what: string): void {
  if (stop.signal.aborted) process.exit(status);
  interruption = status;
  stop.abort(new TidemarkError('INTERRUPTED', `${what}; what was committed stays`));
}

const cli: CliProcess = {
  program: [process.execPath, process.argv[1] ?? ''],
  argv: process.argv.slice(2),
  environment: readEnvironment({ variables: process.env, userId: process.geteuid?.() }),
  workingFolder: process.cwd(),
  input: () => process.stdin,
  output: new OutputStream(process.stdout),
  errors: new OutputStream(process.stderr),
  clock: createSystemClock(),
  run: { signal: stop.signal },
};

// A fault that nobody waits for would end the process with a stack instead of an error.
process.on('uncaughtException', (error) => process.exit(reportUncaught(cli, error)));
process.on('SIGINT', () => onSignal(INTERRUPTED_STATUS, 'interrupted'));
process.on('SIGTERM', () => onSignal(TERMINATED_STATUS, 'terminated'));

const status = await runCli(cli);
process.exitCode = stop.signal.aborted && status === INTERRUPTED_STATUS ? interruption : status;
