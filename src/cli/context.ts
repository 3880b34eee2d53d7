import type { ProgressSink } from '../app/progress.ts';
import type { Configuration } from '../config/configuration.ts';
import type { Environment } from '../config/environment.ts';
import type { Run, Runtime } from '../core/run.ts';
import type { Secret } from '../io/secret.ts';
import type { OptionsOf } from './command.ts';
import type { Printer } from './printer.ts';
import type { Prompter } from './prompt.ts';
import type { globalOptions } from './table/global-options.ts';

export type GlobalOptions = OptionsOf<typeof globalOptions>;

/** What the operator allows this run, from the command line and else from the manifest. Absent: no limit. */
export type RunLimits = {
  readonly uploadBytesPerSecond: number | undefined;
  readonly downloadBytesPerSecond: number | undefined;
  readonly workers: number | undefined;
};

/**
 * Which repository a command works on. With `configuration` there is a manifest on this host; without, what the repository knows
 * has to do, and nothing has a place of its own here.
 */
export type RepositoryChoice = {
  /** The absolute path of a folder. */
  readonly url: string;
  readonly configuration: Configuration | undefined;
  readonly limits: RunLimits;
};

/** What a command is given. What costs time or may fail is a function: it is made on the first call and kept. */
export interface CommandContext {
  readonly options: GlobalOptions;
  readonly environment: Environment;
  readonly workingFolder: string;
  /** How this was started: for who is to call it. */
  readonly program: readonly string[];
  /** Aborts on the first Ctrl-C and on SIGTERM. */
  readonly run: Run;
  readonly progress: ProgressSink;
  readonly prompter: Prompter;
  /** Shows something before a question, on standard error. */
  show(print: (printer: Printer) => void): void;
  /** Tells the operator at once, and again in the result. */
  readonly warn: (message: string) => void;
  /** Writes the bytes of a file to standard output. @throws OutputClosedError when the reader has gone */
  writeBytes(bytes: Uint8Array): Promise<void>;
  runtime(): Promise<Runtime>;
  /** @throws CONFIG_NOT_FOUND, CONFIG_INVALID */
  configuration(): Promise<Configuration>;
  /** By `--repository`, else by the manifest. @throws as `configuration`, and USAGE */
  repository(): Promise<RepositoryChoice>;
  /** From the manifest's source, the environment or the terminal, in this order. @throws SECRET_MISSING */
  passphrase(): Promise<Secret>;
  /** As `passphrase`, without asking the terminal: undefined when there is no other source. */
  knownPassphrase(): Promise<Secret | undefined>;
  /** The same for a repository that is about to be created: on a terminal it is asked for twice. */
  firstPassphrase(): Promise<Secret>;
  /** One more passphrase: from `file`, else asked for twice on a terminal. */
  furtherPassphrase(file: string | undefined): Promise<Secret>;
}
