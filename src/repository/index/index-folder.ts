import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { pid } from 'node:process';
import { toHex } from '../../core/bytes.ts';
import { fromSystem, isTidemarkError, systemCode } from '../../core/errors.ts';
import type { Run, Runtime } from '../../core/run.ts';
import { ensureFolder, PARTIAL_SUFFIX } from '../../io/atomic-file.ts';
import { lockOrBusy, tryLock } from '../../io/lock.ts';
import type { LockHolder } from '../../io/lock.ts';
import type { ChunkIndexOptions } from './chunk-index.ts';
import { EMPTY_LIST, readRunList, writeRunList } from './run-list.ts';
import type { RunList } from './run-list.ts';

const LOCK_FILE = 'lock';
const RUN_SUFFIX = '.run';
const PART_SUFFIX = '.part';
const OWNER_SUFFIX = '.owner';
const LOCK_WAIT_MS = 60_000;
const LOCK_STEP_MS = 10;

/** What a folder says that can't be used by this process, as opposed to one that is full or failing. */
const UNWRITABLE: ReadonlySet<string | undefined> = new Set([
  'EACCES',
  'EPERM',
  'EROFS',
  'ENOTDIR',
  'EEXIST',
  'ELOOP',
  'ENOLCK',
  'ENOTSUP',
]);

type Place = {
  readonly path: string;
  readonly identity: string;
  readonly runtime: Runtime;
  /** Names this process's parts. */
  readonly owner: string;
  /** Other processes use the folder as well. */
  readonly shared: boolean;
};

/**
 * The files of a local index. Processes share it: runs never change, and which runs there are says one list, replaced
 * in one step under a lock. A run is written as a part, named after its process, until it is in the list; what a dead
 * process left is removed by the next one that opens the folder. A run that is removed stays readable for who has it
 * open.
 */
export class IndexFolder implements AsyncDisposable {
  readonly #place: Place;
  readonly #resources: AsyncDisposable;
  /** The list of a temporary folder, which no one else reads. */
  #ownList = EMPTY_LIST;
  #parts = 0;

  private constructor(place: Place, resources: AsyncDisposable) {
    this.#place = place;
    this.#resources = resources;
  }

  /** @throws DISK_FULL, FAILED */
  static async open(options: ChunkIndexOptions, run: Run): Promise<IndexFolder> {
    const { folder, runtime } = options;
    if (folder !== undefined) {
      try {
        return await IndexFolder.#openAt(folder, true, options, run);
      } catch (error) {
        if (run.signal.aborted) throw error;
        if (!UNWRITABLE.has(systemCode(error)) && !isTidemarkError(error, 'UNSUPPORTED')) {
          throw fromSystem(error, 'FAILED', `the local index of chunks in ${folder} can’t be opened`);
        }
        runtime.logger.log('warn', 'the local index of chunks can’t be kept: a temporary one is used', {
          folder,
          error,
        });
      }
    }
    const temporary = join(runtime.temporaryFolder, `chunk-index-${toHex(runtime.random(8))}`);
    return await IndexFolder.#openAt(temporary, false, options, run);
  }

  static async #openAt(path: string, shared: boolean, options: ChunkIndexOptions, run: Run): Promise<IndexFolder> {
    await using resources = new AsyncDisposableStack();
    const { identity, runtime } = options;
    const place = { path, identity, runtime, shared, owner: toHex(runtime.random(8)) };
    await ensureFolder(path, 0o700);
    if (shared) resources.use(await claim(place, run));
    else resources.defer(() => rm(path, { recursive: true, force: true }));
    return new IndexFolder(place, resources.move());
  }

  /** Whether what is written is read by later processes. */
  get lasts(): boolean {
    return this.#place.shared;
  }

  /** The path of a run in the list. */
  pathOf(file: string): string {
    return join(this.#place.path, file);
  }

  /** A path for a run that is being written. */
  newPart(): string {
    this.#parts += 1;
    return this.pathOf(`${this.#place.owner}-${this.#parts}${PART_SUFFIX}`);
  }

  newRunName(): string {
    return `${toHex(this.#place.runtime.random(8))}${RUN_SUFFIX}`;
  }

  /**
   * Replaces the list by what `change` makes of it; durable when it resolves. No other process changes the list or
   * removes files meanwhile. The same list returned: nothing is written. Runs that are no longer in it are removed.
   * @throws BUSY, DISK_FULL, FAILED
   */
  async change(change: (list: RunList) => Promise<RunList> | RunList, run: Run): Promise<RunList> {
    const { path } = this.#place;
    try {
      await using _lock = await lockFolder(this.#place, run);
      const before = await this.#readList();
      const after = await change(before);
      if (after === before) return after;
      await this.#writeList(after, run);
      const kept = new Set(after.runs.map(({ file }) => file));
      for (const { file } of before.runs) {
        if (!kept.has(file)) await rm(this.pathOf(file), { force: true });
      }
      return after;
    } catch (error) {
      if (run.signal.aborted) throw error;
      throw fromSystem(error, 'FAILED', `the local index of chunks in ${path} can’t be written`);
    }
  }

  async #readList(): Promise<RunList> {
    return this.#place.shared ? await readListOf(this.#place) : this.#ownList;
  }

  async #writeList(list: RunList, run: Run): Promise<void> {
    const { path, identity, runtime, shared } = this.#place;
    if (shared) await writeRunList(path, { identity, list, random: runtime.random }, run);
    else this.#ownList = list;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#resources[Symbol.asyncDispose]();
  }
}

/** Removes what dead processes left, and marks this one as alive until the result is disposed. */
async function claim(place: Place, run: Run): Promise<AsyncDisposable> {
  await using resources = new AsyncDisposableStack();
  await using _lock = await lockFolder(place, run);
  await removeLeftovers(place, new Set((await readListOf(place)).runs.map(({ file }) => file)));
  const ownerPath = join(place.path, `${place.owner}${OWNER_SUFFIX}`);
  const owner = await lockOrBusy(ownerPath, holder(place), 'the local index of chunks');
  resources.use(owner);
  resources.defer(() => removeOwn(place));
  return resources.move();
}

async function removeOwn({ path, owner }: Place): Promise<void> {
  try {
    for (const file of await readdir(path)) {
      if (file.startsWith(owner)) await rm(join(path, file), { force: true });
    }
  } catch (error) {
    // Someone has removed the folder: nothing of this process is left in it.
    if (systemCode(error) !== 'ENOENT') throw error;
  }
}

async function removeLeftovers({ path, runtime, owner }: Place, listed: ReadonlySet<string>): Promise<void> {
  const files = await readdir(path);
  const alive = new Set<string>();
  for (const file of files.filter((name) => name.endsWith(OWNER_SUFFIX))) {
    await using dead = await tryLock(join(path, file), holder({ runtime, owner }));
    if (dead === undefined) alive.add(file.slice(0, -OWNER_SUFFIX.length));
    else await rm(join(path, file), { force: true });
  }
  for (const file of files) {
    const isOrphan = file.endsWith(PART_SUFFIX) && !alive.has(file.slice(0, file.indexOf('-')));
    const isDropped = file.endsWith(RUN_SUFFIX) && !listed.has(file);
    if (isOrphan || isDropped || file.endsWith(PARTIAL_SUFFIX)) await rm(join(path, file), { force: true });
  }
}

async function readListOf({ path, identity, runtime }: Place): Promise<RunList> {
  const list = await readRunList(path, identity);
  if (list !== undefined) return list;
  runtime.logger.log('warn', 'the local index of chunks is not usable: it is rebuilt', { folder: path });
  return EMPTY_LIST;
}

/** Held for moments only, so that whoever waits long waits for a process that was stopped. */
async function lockFolder(place: Place, run: Run): Promise<AsyncDisposable> {
  const { clock } = place.runtime;
  if (!place.shared) return new AsyncDisposableStack();
  const path = join(place.path, LOCK_FILE);
  for (let waitedMs = 0; waitedMs < LOCK_WAIT_MS; waitedMs += LOCK_STEP_MS) {
    run.signal.throwIfAborted();
    const lock = await tryLock(path, holder(place));
    if (lock !== undefined) return lock;
    await clock.sleep(LOCK_STEP_MS, run);
  }
  return await lockOrBusy(path, holder(place), 'the local index of chunks');
}

function holder({ runtime, owner }: Pick<Place, 'runtime' | 'owner'>): LockHolder {
  return { processId: pid, command: `index ${owner}`, sinceMs: runtime.clock.nowMs() };
}
