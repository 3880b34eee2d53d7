import { join } from 'node:path';
import type { Configuration } from '../config/configuration.ts';
import { isTidemarkError, systemCode, TidemarkError } from '../core/errors.ts';
import type { Run, Runtime } from '../core/run.ts';
import { openStateFolder } from '../io/state-folder.ts';
import type { StateOwner } from '../io/state-folder.ts';
import type { Secret } from '../io/secret.ts';
import { readSmallFile, replaceFile } from '../io/atomic-file.ts';
import type { ObjectStore } from '../objects/object-store.ts';
import { openObjectStore } from '../objects/registry.ts';
import { dryRunStore } from '../objects/wrappers/dry-run.ts';
import { retryingStore } from '../objects/wrappers/retrying.ts';
import { throttledStore } from '../objects/wrappers/throttled.ts';
import {
  openWithCredential,
  openWithPassphrase,
  peekHeader,
  withDerivedCredential,
  withKeptRecords,
} from '../repository/access.ts';
import type { RepositoryAccess } from '../repository/access.ts';
import type { RepositoryHeader } from '../repository/format/header.ts';
import { readCredential, writeCredential } from '../repository/keys/credential.ts';
import type { Credential } from '../repository/keys/credential.ts';
import type { SessionInfo } from '../repository/records/session.ts';
import { loadRememberedHeads, rememberHeads } from './head-memory.ts';
import type { Head } from '../repository/records/heads.ts';
import type { Engines } from './engines.ts';
import type { ProgressSink } from './progress.ts';

const RETRY_POLICY = { firstMs: 200, maxMs: 10_000, attempts: 8 };
const MAX_CREDENTIAL_BYTES = 64 * 1024;

/** What the command line (later: the agent) gives for everything that it does with one application. */
export type AppContext = {
  readonly runtime: Runtime;
  /** Absolute URL or folder of the repository. */
  readonly repositoryUrl: string;
  /** Undefined where only the repository is known. */
  readonly configuration: Configuration | undefined;
  readonly limits: {
    readonly uploadBytesPerSecond: number | undefined;
    readonly downloadBytesPerSecond: number | undefined;
    readonly workers: number | undefined;
  };
  readonly stateOwner: StateOwner;
  readonly host: string;
  readonly processId: number;
  /** Name and version, such as `tidemark 0.1.0`. */
  readonly tool: string;
  /** Relative places that the operator names start here. */
  readonly workingFolder: string;
  readonly progress: ProgressSink;
  readonly warn: (message: string) => void;
  /** Asks the terminal as the last resort. @throws SECRET_MISSING */
  readonly passphrase: () => Promise<Secret>;
  /** Without asking anybody; undefined when there is no source. */
  readonly knownPassphrase: () => Promise<Secret | undefined>;
  readonly engines: Engines;
};

/** A repository that has been found, and this host's folder for it. Nothing is opened with a key yet. */
export class OpenApplication implements AsyncDisposable {
  readonly context: AppContext;
  readonly objects: ObjectStore;
  readonly header: RepositoryHeader;
  readonly stateFolder: string;

  private constructor(context: AppContext, objects: ObjectStore, header: RepositoryHeader, stateFolder: string) {
    this.context = context;
    this.objects = objects;
    this.header = header;
    this.stateFolder = stateFolder;
  }

  /** @throws REPOSITORY_NOT_FOUND, REPOSITORY_UNREACHABLE, REPOSITORY_NEWER, REPOSITORY_DAMAGED */
  static async open(context: AppContext, run: Run): Promise<OpenApplication> {
    await using stack = new AsyncDisposableStack();
    const objects = stack.use(await openObjects(context, run));
    const header = await peekHeader(objects, run);
    const stateFolder = await openStateFolder(header.id, context.stateOwner);
    stack.move();
    return new OpenApplication(context, objects, header, stateFolder);
  }

  get name(): string {
    return this.context.configuration?.application ?? 'application';
  }

  /** Names this host's credentials. */
  get credentialName(): string {
    return `${this.name}@${this.context.host}`;
  }

  sessionInfo(command: string): SessionInfo {
    return { application: this.name, host: this.context.host, command, tool: this.context.tool };
  }

  rememberedHeads(run: Run): Promise<readonly Head[]> {
    return loadRememberedHeads(this.stateFolder, run);
  }

  rememberHeads(heads: readonly Head[], run: Run): Promise<void> {
    return rememberHeads({ folder: this.stateFolder, heads, random: this.context.runtime.random }, run);
  }

  /** With a passphrase: reading, maintaining, and whatever else its role allows. @throws KEY_REFUSED, SECRET_MISSING */
  async openAsReader(run: Run): Promise<RepositoryAccess> {
    return await this.#openAsReader({ dryRun: false }, run);
  }

  /** As a reader, with the maintainer's credential of this host. A dry run writes nothing. @throws KEY_MISSING */
  async openAsMaintainer(run: Run, { dryRun }: { readonly dryRun: boolean }): Promise<RepositoryAccess> {
    return await this.#withMaintainer(await this.#openAsReader({ dryRun }, run), run);
  }

  /**
   * The same for what should be written down in the repository, but need not be. Undefined, after a warning, where the repository can only be
   * read or the key does not allow it.
   */
  async maintainerOrWarning(access: RepositoryAccess, run: Run): Promise<RepositoryAccess | undefined> {
    if (access.maintainer !== undefined) return access;
    try {
      return await this.#withMaintainer(access, run);
    } catch (error) {
      if (!isTidemarkError(error)) throw error;
      this.context.warn(`this run is not written down in the repository: ${error.message}`);
      return undefined;
    }
  }

  /**
   * As the writer of this host: by the passphrase where one is given, else by the credential that this host keeps, else by the
   * passphrase from the terminal. A dry run writes neither to the repository nor to this host.
   * @throws KEY_REFUSED, KEY_MISSING, SECRET_MISSING
   */
  async openAsWriter(run: Run, { dryRun }: { readonly dryRun: boolean }): Promise<RepositoryAccess> {
    const { runtime } = this.context;
    const objects = this.#objectsFor(dryRun);
    const path = this.#writerPath;
    const known = await this.context.knownPassphrase();
    const kept = known === undefined ? await readKeptCredential(path) : undefined;
    if (kept !== undefined) {
      return await this.#withKept(await openWithCredential(objects, kept, runtime, run), { dryRun }, run);
    }
    const secret = known ?? (await this.context.passphrase());
    const reader = await this.#openWith(secret, { dryRun }, run);
    const options = { role: 'writer', name: this.credentialName, stores: ['*'] } as const;
    const access = await withDerivedCredential(reader, options, run);
    if (access.writer !== undefined && !dryRun) {
      await replaceFile(path, [writeCredential(access.writer)], { mode: 0o600, random: runtime.random }, run);
    }
    return access;
  }

  /** The object store's time; this host's where the store can't be asked because it can't be written to. For people, not for decisions. */
  async timeForPeople(run: Run): Promise<number> {
    try {
      return await this.objects.nowMs(run);
    } catch (error) {
      run.signal.throwIfAborted();
      if (!isTidemarkError(error)) throw error;
      return this.context.runtime.clock.nowMs();
    }
  }

  /** Whether this host can back up without a passphrase. */
  async keepsWriterCredential(): Promise<boolean> {
    return (await readKeptCredential(this.#writerPath)) !== undefined;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.objects[Symbol.asyncDispose]();
  }

  async #openAsReader(mode: { readonly dryRun: boolean }, run: Run): Promise<RepositoryAccess> {
    return await this.#openWith(await this.context.passphrase(), mode, run);
  }

  async #openWith(secret: Secret, mode: { readonly dryRun: boolean }, run: Run): Promise<RepositoryAccess> {
    const objects = this.#objectsFor(mode.dryRun);
    return await this.#withKept(
      await openWithPassphrase(objects, secret.reveal(), this.context.runtime, run),
      mode,
      run,
    );
  }

  async #withKept(
    access: RepositoryAccess,
    { dryRun }: { readonly dryRun: boolean },
    run: Run,
  ): Promise<RepositoryAccess> {
    return await withKeptRecords(access, { folder: join(this.stateFolder, 'records'), mayWrite: !dryRun }, run);
  }

  #objectsFor(dryRun: boolean): ObjectStore {
    return dryRun ? dryRunStore(this.objects) : this.objects;
  }

  get #writerPath(): string {
    return join(this.stateFolder, 'writer.json');
  }

  #withMaintainer(access: RepositoryAccess, run: Run): Promise<RepositoryAccess> {
    return withDerivedCredential(access, { role: 'maintainer', name: this.credentialName, stores: [] }, run);
  }
}

/** The repository's object store with retries and the operator's limits. */
export async function openObjects(context: AppContext, run: Run): Promise<ObjectStore> {
  const { runtime, limits } = context;
  const store = await openObjectStore(context.repositoryUrl, { runtime, baseFolder: context.workingFolder }, run);
  const { uploadBytesPerSecond, downloadBytesPerSecond } = limits;
  const retried = retryingStore(store, { ...RETRY_POLICY, clock: runtime.clock, random: runtime.random });
  if (uploadBytesPerSecond === undefined && downloadBytesPerSecond === undefined) return retried;
  return throttledStore(retried, { clock: runtime.clock, uploadBytesPerSecond, downloadBytesPerSecond });
}

async function readKeptCredential(path: string): Promise<Credential | undefined> {
  try {
    return readCredential(await readSmallFile(path, MAX_CREDENTIAL_BYTES), path);
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return undefined;
    throw error;
  }
}

/** The manifest that this application was opened with. @throws CONFIG_NOT_FOUND */
export function needConfiguration(context: AppContext): Configuration {
  if (context.configuration === undefined) {
    throw new TidemarkError('CONFIG_NOT_FOUND', 'this command needs the application’s manifest', {
      hint: 'Name it with -f FILE.',
    });
  }
  return context.configuration;
}
