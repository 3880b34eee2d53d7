import { constants } from 'node:fs';
import { link, mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { systemCode } from '../core/errors.ts';
import type { RandomBytes, Run } from '../core/run.ts';
import { toHex } from '../core/bytes.ts';
import { writePieces } from './file-pieces.ts';
import { nativeAvailable } from './native.ts';
import { renameAt, WORKING_FOLDER } from './native-folder.ts';

/** Files that are being written end so until they get their name. One that is left over belongs to a process that died. */
export const PARTIAL_SUFFIX = '.tidemark-partial';

export type AtomicFileOptions = {
  /** Permissions; the process's umask does not apply. */
  readonly mode: number;
  readonly random: RandomBytes;
};

/**
 * Replaces or creates the file at `path` with `parts`, one after another. When it resolves the content is on the disk under that
 * name; after a crash at any moment there is the old file or the new one, whole; when it rejects, too. @throws Node's file system errors
 */
export async function replaceFile(
  path: string,
  parts: readonly Uint8Array[],
  options: AtomicFileOptions,
  run: Run,
): Promise<void> {
  await writeBeside({ path, parts, ...options, giveName: rename }, run);
}

/**
 * As `replaceFile`, but what is at `path` is never replaced: of several that create it at once exactly one succeeds.
 * @throws Node's file system errors, EEXIST when something is there
 */
export async function createFile(
  path: string,
  parts: readonly Uint8Array[],
  options: AtomicFileOptions,
  run: Run,
): Promise<void> {
  await writeBeside({ path, parts, ...options, giveName: renameToNew }, run);
}

type FileInTheMaking = AtomicFileOptions & {
  readonly path: string;
  readonly parts: readonly Uint8Array[];
  readonly giveName: (partial: string, path: string) => Promise<void>;
};

async function writeBeside({ path, parts, mode, random, giveName }: FileInTheMaking, run: Run): Promise<void> {
  run.signal.throwIfAborted();
  const folder = dirname(path);
  const partial = join(folder, `${partialPrefix(path)}${toHex(random(8))}${PARTIAL_SUFFIX}`);
  await using leftover = new AsyncDisposableStack();
  leftover.defer(() => rm(partial, { force: true }));
  await writeDurably(partial, parts, mode, run);
  await giveName(partial, path);
  leftover.move();
  await syncFolder(folder);
}

function partialPrefix(path: string): string {
  return `.${basename(path)}.`;
}

/**
 * Deletes what processes left that died while they wrote the file at `path`; call it when nobody can be writing it.
 * @throws Node's file system errors, ENOENT when its folder is not there
 */
export async function removePartials(path: string): Promise<void> {
  const prefix = partialPrefix(path);
  for (const name of await readdir(dirname(path))) {
    if (name.startsWith(prefix) && name.endsWith(PARTIAL_SUFFIX)) await rm(join(dirname(path), name), { force: true });
  }
}

async function writeDurably(path: string, parts: readonly Uint8Array[], mode: number, run: Run): Promise<void> {
  const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
  await using file = await open(path, flags, 0o600);
  await writePieces(file, parts, { run });
  await file.chmod(mode);
  await file.sync();
}

/** What file systems answer that know no rename without replacing, or no hard links. */
const NOT_HERE: ReadonlySet<string | undefined> = new Set(['EINVAL', 'ENOSYS', 'ENOTSUP', 'EPERM', 'EMLINK']);

/**
 * Gives the file at `from` the name `to` as well only if that is free, in one step. A crash may leave both names.
 * @throws EEXIST
 */
async function renameToNew(from: string, to: string): Promise<void> {
  if (nativeAvailable()) {
    try {
      const places = { from: Buffer.from(from), to: Buffer.from(to) };
      renameAt({ fromFolder: WORKING_FOLDER, toFolder: WORKING_FOLDER, ...places }, 'keep');
      return;
    } catch (error) {
      if (!NOT_HERE.has(systemCode(error))) throw error;
    }
  }
  await link(from, to);
  await rm(from);
}

/** Makes the names in a folder durable: what was created, renamed or removed there before. */
export async function syncFolder(path: string): Promise<void> {
  await using folder = await open(path, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    await folder.sync();
  } catch (error) {
    // Some network file systems refuse it; there the server makes names durable itself.
    if (systemCode(error) !== 'EINVAL') throw error;
  }
}

/**
 * Creates the folder and what is missing above it, each durable in its parent, with `mode` (less the umask); what exists keeps its own.
 * @throws Node's file system errors, ENOTDIR or EEXIST when something else is in the way
 */
export async function ensureFolder(path: string, mode: number): Promise<void> {
  // Not by mkdir's own recursion: where a parent exists and yet nothing can be made in it (/proc) that never ends.
  const missing: string[] = [];
  for (let at = resolve(path); !(await isFolder(at)); at = dirname(at)) missing.unshift(at);
  for (const folder of missing) {
    try {
      await mkdir(folder, { mode });
    } catch (error) {
      // Another process came first.
      if (systemCode(error) !== 'EEXIST' || !(await isFolder(folder))) throw error;
    }
    await syncFolder(dirname(folder));
  }
}

/** False when nothing is there, or something else, in whose place no folder can be made. @throws ENOTDIR when that is further up */
async function isFolder(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory();
  } catch (error) {
    if (systemCode(error) === 'ENOENT' && path !== dirname(path)) return false;
    throw error;
  }
}

const READ_STEP_BYTES = 16 * 1024;

/**
 * The content of a file of at most `maxBytes`; a pipe is read to its end. @throws Node's file system errors, RangeError when it is
 * longer, without having read the rest
 */
export async function readSmallFile(path: string, maxBytes: number): Promise<Uint8Array> {
  await using file = await open(path, constants.O_RDONLY);
  const pieces: Uint8Array[] = [];
  for (let length = 0; length <= maxBytes; ) {
    const piece = new Uint8Array(Math.min(READ_STEP_BYTES, maxBytes + 1 - length));
    const { bytesRead } = await file.read(piece, 0, piece.byteLength, null);
    if (bytesRead === 0) return Buffer.concat(pieces, length);
    pieces.push(piece.subarray(0, bytesRead));
    length += bytesRead;
  }
  throw new RangeError(`${path} is longer than ${maxBytes} bytes`);
}
