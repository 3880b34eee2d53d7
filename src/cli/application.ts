import { hostname } from 'node:os';
import { OpenApplication } from '../app/application.ts';
import type { AppContext } from '../app/application.ts';
import { workerEngines } from '../app/engines.ts';
import { openReader } from '../app/look.ts';
import type { RepositoryReader } from '../app/look.ts';
import { yieldToOthers } from '../io/native-priority.ts';
import type { CommandContext } from './context.ts';
import { packageVersion } from './package-version.ts';

/** What the application layer needs of this command line. `workers`: threads where it names none. */
export async function appContext(context: CommandContext, workers?: number): Promise<AppContext> {
  const { url, configuration, limits } = await context.repository();
  const runtime = await context.runtime();
  if (context.options.lowPriority) yieldToOthers();
  return {
    runtime,
    repositoryUrl: url,
    configuration,
    limits,
    stateOwner: { environment: context.environment.variables, userId: context.environment.userId ?? -1 },
    host: hostname(),
    processId: process.pid,
    tool: `tidemark ${await packageVersion()}`,
    workingFolder: context.workingFolder,
    progress: context.progress,
    warn: (message) => context.warn(message),
    passphrase: () => context.passphrase(),
    knownPassphrase: () => context.knownPassphrase(),
    engines: workerEngines(limits.workers ?? workers),
  };
}

/** The repository that the command names, found but not yet opened with a key. As `appContext`. */
export async function openApplication(context: CommandContext, workers?: number): Promise<OpenApplication> {
  return OpenApplication.open(await appContext(context, workers), context.run);
}

/** Opens for reading; both are closed when `work` ends. */
export async function withReader<T>(
  context: CommandContext,
  work: (application: OpenApplication, reader: RepositoryReader) => Promise<T>,
): Promise<T> {
  await using opened = await openReading(context);
  return await work(opened.application, opened.reader);
}

export type OpenReading = AsyncDisposable & {
  readonly application: OpenApplication;
  readonly reader: RepositoryReader;
};

/** Opens for reading, for results that are pulled while they are printed. The caller closes it. */
export async function openReading(context: CommandContext): Promise<OpenReading> {
  await using stack = new AsyncDisposableStack();
  const application = stack.use(await openApplication(context));
  const reader = stack.use(await openReader(application, { expectedHead: context.options.expectHead }, context.run));
  const owned = stack.move();
  return { application, reader, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

/** `stream`, with `resource` closed at its end. */
export async function* closing<T>(stream: AsyncIterable<T>, resource: AsyncDisposable): AsyncGenerator<T> {
  await using _resource = resource;
  yield* stream;
}

/** What `work` yields; when it fails, `resource` is closed, since nobody will pull what would close it. */
export async function owning<T>(resource: AsyncDisposable, work: Promise<T>): Promise<T> {
  await using stack = new AsyncDisposableStack();
  stack.use(resource);
  const result = await work;
  stack.move();
  return result;
}
