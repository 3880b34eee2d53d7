import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { TidemarkError } from '../core/errors.ts';
import { excerpt } from '../core/printable.ts';
import { tryLockFile } from './native-file.ts';

/** Who holds a lock, for people: what is written into the locked file. */
export type LockHolder = {
  readonly processId: number;
  readonly command: string;
  /** Wall time of the holder, in milliseconds since 1970. */
  readonly sinceMs: number;
};

const MAX_HOLDER_BYTES = 4096;
const COMMAND_CHARACTERS = 100;

/**
 * Takes the lock that the file at `path` stands for, or gives undefined when another holds it. The file is created where it is
 * missing, never removed, and follows no link. The lock ends when it is disposed, and with the process in any case; a second lock on the same
 * file by the same process is refused as well. @throws Node's file system errors, UNSUPPORTED without native calls
 */
export async function tryLock(path: string, holder: LockHolder): Promise<AsyncDisposable | undefined> {
  await using stack = new AsyncDisposableStack();
  const file = stack.use(await open(path, constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW, 0o600));
  if (!tryLockFile(file.fd)) return undefined;
  await file.truncate(0);
  await file.write(`${JSON.stringify(holder)}\n`, 0);
  return stack.move();
}

/** As `tryLock`. @throws BUSY, saying who holds it */
export async function lockOrBusy(path: string, holder: LockHolder, purpose: string): Promise<AsyncDisposable> {
  const lock = await tryLock(path, holder);
  if (lock !== undefined) return lock;
  const other = await readHolder(path);
  throw new TidemarkError('BUSY', `${purpose} is held by ${other === undefined ? 'another process' : describe(other)}`);
}

/**
 * What the last one who took the lock wrote; it may have ended since. Undefined when nothing readable is there. @throws Node's file
 * system errors
 */
export async function readHolder(path: string): Promise<LockHolder | undefined> {
  await using file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  const { buffer, bytesRead } = await file.read(Buffer.alloc(MAX_HOLDER_BYTES), 0, MAX_HOLDER_BYTES, 0);
  let value: unknown;
  try {
    value = JSON.parse(buffer.toString('utf8', 0, bytesRead));
  } catch {
    // It is being written at this moment.
    return undefined;
  }
  return isHolder(value) ? value : undefined;
}

function isHolder(value: unknown): value is LockHolder {
  if (typeof value !== 'object' || value === null) return false;
  const { processId, command, sinceMs } = value as Partial<Record<keyof LockHolder, unknown>>;
  return typeof processId === 'number' && typeof command === 'string' && typeof sinceMs === 'number';
}

function describe({ processId, command, sinceMs }: LockHolder): string {
  const since = Math.abs(sinceMs) <= 8.64e15 ? ` since ${new Date(sinceMs).toISOString()}` : '';
  return `process ${processId} (${excerpt(command, COMMAND_CHARACTERS)})${since}`;
}
