import { resolve } from 'node:path';
import type { ProgressSink } from '../app/progress.ts';
import type { Configuration } from '../config/configuration.ts';
import { TidemarkError } from '../core/errors.ts';
import { must } from '../core/must.ts';
import type { Logger, Runtime } from '../core/run.ts';
import type { Secret } from '../io/secret.ts';
import type { CommandContext, GlobalOptions, RepositoryChoice } from './context.ts';
import type { PassphraseSources } from './passphrase.ts';
import { createPrinter } from './printer.ts';
import { createPrompter } from './prompt.ts';
import type { Prompter } from './prompt.ts';
import type { CliProcess } from './session.ts';
import type { TerminalLine } from './terminal-line.ts';

export type ContextParts = {
  readonly process: CliProcess;
  readonly options: GlobalOptions;
  /** Of the manifest, when it has been read already. */
  readonly configuration: Configuration | undefined;
  readonly logger: Logger;
  readonly progress: ProgressSink;
  readonly line: TerminalLine;
  readonly warn: (message: string) => void;
};

/** `zone`: of the manifest when the command has read one, else UTC. */
export function createContext(parts: ContextParts): { readonly command: CommandContext; zone(): string } {
  const { process, options } = parts;
  let zone = parts.configuration?.timezone ?? 'UTC';
  const prompter = lazyPrompter(parts);
  const runtime = once(() => openRuntime(parts));
  const configuration = once(async () => {
    if (parts.configuration !== undefined) return parts.configuration;
    const { readConfiguration } = await import('./read-configuration.ts');
    const read = await readConfiguration(options.file, process);
    zone = read.timezone;
    return read;
  });
  const repository = once(() => chooseRepository(parts, configuration));
  const sources = async (choice: RepositoryChoice | undefined): Promise<PassphraseSources> => ({
    reference: choice?.configuration?.repository.passphrase,
    namedBy: `repository in ${choice?.configuration?.origin.file ?? 'the manifest'}`,
    environment: process.environment,
    prompter,
    runtime: await runtime(),
    warn: parts.warn,
  });
  // Read once for both, since the source may be a program that asks somebody.
  const knownPassphrase = once(async () => {
    const { givenPassphrase } = await import('./passphrase.ts');
    return await givenPassphrase(await sources(await repository()), process.run);
  });
  const command: CommandContext = {
    options,
    environment: process.environment,
    workingFolder: process.workingFolder,
    program: process.program,
    run: process.run,
    progress: parts.progress,
    prompter,
    warn: parts.warn,
    show(print) {
      parts.line.clear();
      const colours = process.errors.isTerminal && !options.noColor && process.environment.colour !== 'never';
      print(createPrinter({ stream: process.errors, colours, unicode: process.environment.unicode, zone }));
    },
    async writeBytes(bytes) {
      process.output.write(bytes);
      await process.output.drained();
    },
    runtime,
    configuration,
    repository,
    passphrase: once(async () => {
      const { askPassphrase } = await import('./passphrase.ts');
      return (await knownPassphrase()) ?? (await askPassphrase(await sources(await repository()), process.run));
    }),
    knownPassphrase,
    firstPassphrase: once(async () => {
      const { askFirstPassphrase } = await import('./passphrase.ts');
      return await askFirstPassphrase(await sources(await repository()), process.run);
    }),
    furtherPassphrase: (file) => furtherPassphrase(file, process, () => sources(undefined)),
  };
  return { command, zone: () => zone };
}

async function furtherPassphrase(
  file: string | undefined,
  { workingFolder, run }: CliProcess,
  sources: () => Promise<PassphraseSources>,
): Promise<Secret> {
  const { askFurtherPassphrase } = await import('./passphrase.ts');
  const reference = file === undefined ? undefined : ({ kind: 'file', path: resolve(workingFolder, file) } as const);
  return await askFurtherPassphrase({ ...(await sources()), reference, namedBy: '--new-passphrase-file' }, run);
}

/** The terminal is looked at when someone is to be asked, not before: opening it is slow, and it may be a pipe. */
function lazyPrompter({ process, line }: ContextParts): Prompter {
  let made: Prompter | undefined;
  const prompter = (): Prompter => {
    const { isTerminal } = process.errors;
    line.clear();
    made ??= createPrompter(process.input(), { isTerminal, write: (text) => process.errors.write(text) });
    return made;
  };
  return {
    get available() {
      return prompter().available;
    },
    hidden: (question, run) => prompter().hidden(question, run),
    confirm: (question, run) => prompter().confirm(question, run),
  };
}

async function openRuntime({ process, logger }: ContextParts): Promise<Runtime> {
  const { createRuntime } = await import('./runtime.ts');
  return createRuntime({ logger, temporaryFolder: process.environment.temporaryFolder });
}

async function chooseRepository(
  { process, options }: ContextParts,
  configuration: () => Promise<Configuration>,
): Promise<RepositoryChoice> {
  const named = options.repository === undefined ? undefined : await locate(options.repository, process.workingFolder);
  const manifest = named === undefined || options.file !== undefined ? await configuration() : undefined;
  const limits = {
    uploadBytesPerSecond: options.limitUpload ?? manifest?.repository.limits.uploadBytesPerSecond,
    downloadBytesPerSecond: options.limitDownload ?? manifest?.repository.limits.downloadBytesPerSecond,
    workers: options.workers,
  };
  return {
    url: must(named ?? manifest?.repository.url, 'a repository is named or in the manifest'),
    configuration: manifest,
    limits,
  };
}

async function locate(url: string, workingFolder: string): Promise<string> {
  const { locateRepository } = await import('../config/locations.ts');
  const located = locateRepository(url, workingFolder);
  if ('value' in located) return located.value;
  throw new TidemarkError('USAGE', `--repository: ${located.mistake}`);
}

/** The same promise at every call; a failure is kept too, but for an interruption it makes no difference. */
function once<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined;
  return () => {
    made ??= make();
    return made;
  };
}
