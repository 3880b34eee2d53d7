import type { Environment } from '../config/environment.ts';
import type { Clock, Run } from '../core/run.ts';
import type { OutputStream } from './output-stream.ts';
import type { TerminalInput } from './prompt.ts';
import type { TerminalLine } from './terminal-line.ts';

/** The process, as far as the command line knows it. */
export type CliProcess = {
  /** How it was started: the program, and what comes before its arguments. */
  readonly program: readonly string[];
  readonly argv: readonly string[];
  readonly environment: Environment;
  readonly workingFolder: string;
  input(): TerminalInput;
  readonly output: OutputStream;
  readonly errors: OutputStream;
  readonly clock: Clock;
  readonly run: Run;
};

/** One command line. */
export type Session = {
  readonly process: CliProcess;
  readonly json: boolean;
  /** Standard error, which messages and progress share. */
  readonly line: TerminalLine;
  /** What the operator has been warned of so far. */
  readonly warnings: string[];
};

export function wantsColours({ colour }: Environment, stream: OutputStream): boolean {
  return colour === 'always' || (colour === 'auto' && stream.isTerminal);
}
