import {
  closeSync,
  constants,
  fchmodSync,
  fchownSync,
  fstatSync,
  ftruncateSync,
  openSync,
  readFileSync,
  readSync,
  writeSync,
} from 'node:fs';
import { compareBytes, equalBytes, startsWithBytes } from '../../core/bytes.ts';
import { assume, must } from '../../core/must.ts';
import type { Base, BaseEnd, Content, Entry, Observation } from '../../core/recorder.ts';
import type { BaseReader, FileResult, FileTarget, StoredContent, StoredEntry } from '../../core/restorer.ts';
import type { Run } from '../../core/run.ts';
import { setTimesOfFile } from '../../io/native-time.ts';

type MemoryContent = StoredContent & { readonly bytes: Uint8Array };
type MemoryEntry = StoredEntry & { readonly fingerprint?: Uint8Array | undefined };

/** A base that was recorded into memory, and how that ended. */
export type MemoryBase = BaseReader & {
  readonly all: readonly MemoryEntry[];
  readonly end: BaseEnd;
  readonly described: number;
};

/**
 * Stands in for a repository: keeps a base as it comes, entry by entry, and restores files from memory. With `before`, entries of the same
 * fingerprint are taken from there, as a repository does.
 */
export async function recordInMemory(base: Base, run: Run, before?: MemoryBase): Promise<MemoryBase> {
  const known = new Map(before?.all.map((entry) => [keyOf(entry.name), entry]));
  const all: MemoryEntry[] = [];
  let described = 0;
  for await (const batch of base.entries) {
    for (const entry of batch) {
      const old = known.get(keyOf(entry.name));
      if (old !== undefined && isSame(old.fingerprint, entry.fingerprint)) {
        all.push(old);
        continue;
      }
      described++;
      const stored = await store(base, entry, run);
      if (stored !== undefined) all.push(stored);
    }
  }
  const end = await base.finish(run);
  return { ...memoryReader(all), all, end, described };
}

/** An observation that was recorded into memory. */
export type MemoryObservation = { readonly changes: MemoryBase; readonly removed: readonly Uint8Array[] };

/** Records what an observation tells, and finishes it. `before`: see `recordInMemory`. */
export async function observeInMemory(
  observation: Observation,
  run: Run,
  before?: MemoryBase,
): Promise<MemoryObservation> {
  const changes = await recordInMemory(observation, run, before);
  return { changes, removed: observation.removed };
}

/** What was there at an observation, if the base is what was there at the one before. */
export function overlaid(base: MemoryBase, { changes, removed }: MemoryObservation): MemoryBase {
  const all = new Map(base.all.map((entry) => [keyOf(entry.name), entry]));
  for (const name of removed) all.delete(keyOf(name));
  for (const entry of changes.all) all.set(keyOf(entry.name), entry);
  const sorted = [...all.values()].sort((left, right) => compareBytes(left.name, right.name));
  return { ...memoryReader(sorted), all: sorted, end: changes.end, described: changes.described };
}

/** A base of these entries, however wrong they are. */
export function memoryReader(all: readonly StoredEntry[]): BaseReader {
  return {
    entryCount: all.length,
    contentBytes: all.reduce((sum, { content }) => sum + (content?.sizeBytes ?? 0), 0),
    async *entries(_run, range = {}) {
      const { prefix, from } = range;
      const wanted = all.filter(
        ({ name }) =>
          (prefix === undefined || startsWithBytes(name, prefix)) &&
          (from === undefined || compareBytes(name, from) >= 0),
      );
      // Small batches, so that folders are left while files in them are not written yet.
      for (let at = 0; at < wanted.length; at += 7) yield wanted.slice(at, at + 7);
    },
    async find(name) {
      return all.find((entry) => equalBytes(entry.name, name));
    },
    async *read(content) {
      yield bytesOf(content);
    },
    extract,
  };
}

/** Content for entries made by hand. */
export function memoryContent(bytes: Uint8Array): StoredContent {
  const content: MemoryContent = { sizeBytes: bytes.byteLength, bytes };
  return content;
}

function keyOf(name: Uint8Array): string {
  return Buffer.from(name).toString('latin1');
}

function isSame(left: Uint8Array | undefined, right: Uint8Array | undefined): boolean {
  return left !== undefined && right !== undefined && equalBytes(left, right);
}

async function store(base: Base, entry: Entry, run: Run): Promise<MemoryEntry | undefined> {
  let current: Entry | undefined = entry;
  while (current !== undefined) {
    try {
      const { attributes, content } = current.describe();
      const bytes: Uint8Array | undefined = content && (await readContent(content, run));
      const { name, fingerprint } = current;
      return { name, fingerprint, attributes, content: bytes && memoryContent(bytes) };
    } catch (error) {
      current = await base.retry(current, error, run);
    }
  }
  return undefined;
}

/** All bytes of what an entry describes. @throws what makes `Base.retry` necessary */
export async function readContent(content: Content, run: Run): Promise<Uint8Array> {
  return content.kind === 'file' ? readDescribedFile(content) : await readPulled(content, run);
}

const PULLED_BYTES = 50_000;

async function readPulled(content: Content & { readonly kind: 'reader' }, run: Run): Promise<Uint8Array> {
  await using reader = await content.open(run);
  const pieces: Uint8Array[] = [];
  for (;;) {
    const piece = new Uint8Array(PULLED_BYTES);
    const sizeBytes = await reader.read(piece);
    if (sizeBytes === 0) return Buffer.concat(pieces);
    assume(sizeBytes > 0 && sizeBytes <= piece.byteLength, 'no more bytes than there is room for');
    pieces.push(piece.subarray(0, sizeBytes));
  }
}

function readDescribedFile(content: Content & { readonly kind: 'file' }): Uint8Array {
  const { path, state, extents, tolerant } = content;
  const file = openSync(Buffer.from(path), constants.O_RDONLY | constants.O_NOFOLLOW);
  try {
    const runs = extents ?? [{ offset: 0, sizeBytes: state.sizeBytes }];
    const pieces = runs.map(({ offset, sizeBytes }) => {
      const piece = Buffer.alloc(sizeBytes);
      readSync(file, piece, 0, sizeBytes, offset);
      return piece;
    });
    const { size, mtimeNs, ctimeNs, ino } = fstatSync(file, { bigint: true });
    const same =
      size === BigInt(state.sizeBytes) && mtimeNs === state.mtimeNs && ctimeNs === state.ctimeNs && ino === state.inode;
    if (!same && tolerant !== true) throw new Error('changed');
    return Buffer.concat(pieces);
  } finally {
    closeSync(file);
  }
}

function bytesOf(content: StoredContent): Uint8Array {
  return must((content as Partial<MemoryContent>).bytes, 'a content of this reader');
}

/** One result behind, so that links and folders have to wait for files. */
async function* extract<Tag>(
  targets: AsyncIterable<readonly FileTarget<Tag>[]>,
): AsyncGenerator<readonly FileResult<Tag>[]> {
  let waiting: readonly FileTarget<Tag>[] = [];
  for await (const batch of targets) {
    yield waiting.map(write);
    waiting = batch;
  }
  yield waiting.map(write);
}

function write<Tag>(target: FileTarget<Tag>): FileResult<Tag> {
  const { tag, entry, candidate } = target;
  try {
    const bytes = bytesOf(must(entry.content, 'a content'));
    writeFile(target, bytes);
    const reused = candidate !== undefined && target.extents === undefined && holds(candidate, bytes);
    return { tag, sizeBytes: bytes.byteLength, reused };
  } catch (error) {
    return { tag, sizeBytes: 0, reused: false, error };
  }
}

function holds(candidate: Uint8Array, bytes: Uint8Array): boolean {
  try {
    return equalBytes(readFileSync(Buffer.from(candidate)), bytes);
  } catch {
    // A candidate that can't be read holds nothing for us.
    return false;
  }
}

function writeFile<Tag>({ path, extents, fileSizeBytes, finish }: FileTarget<Tag>, bytes: Uint8Array): void {
  const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
  const file = openSync(Buffer.from(path), flags, 0o600);
  try {
    ftruncateSync(file, fileSizeBytes);
    let at = 0;
    for (const { offset, sizeBytes } of extents ?? [{ offset: 0, sizeBytes: bytes.byteLength }]) {
      writeSync(file, bytes, at, sizeBytes, offset);
      at += sizeBytes;
    }
    const { uid, gid, mode, mtimeNs, atimeNs } = finish;
    if (uid !== undefined || gid !== undefined) fchownSync(file, uid ?? -1, gid ?? -1);
    fchmodSync(file, mode);
    setTimesOfFile(file, { mtimeNs, atimeNs });
  } finally {
    closeSync(file);
  }
}
