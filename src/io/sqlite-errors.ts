import { isTidemarkError, TidemarkError } from '../core/errors.ts';

/** Result codes of SQLite, without their extended part: https://sqlite.org/rescode.html */
const BUSY = 5;
const LOCKED = 6;
export const READ_ONLY = 8;
export const CORRUPT = 11;
const FULL = 13;
export const CANNOT_OPEN = 14;
export const NOT_A_DATABASE = 26;

function resultCode(error: unknown): number | undefined {
  if (!(error instanceof Error) || !('errcode' in error) || typeof error.errcode !== 'number') return undefined;
  return error.errcode & 0xff;
}

/**
 * What SQLite says of the file at `path`, as an error that an operator can read: of most codes it is the caller who knows what they mean. Errors of Tidemark,
 * and whatever is none of SQLite's, stay as they are.
 */
export function sqliteError(path: string, error: unknown, meaning: (code: number) => unknown): unknown {
  const code = resultCode(error);
  if (isTidemarkError(error) || code === undefined) return error;
  const details = { cause: error };
  if (code === BUSY || code === LOCKED) {
    return new TidemarkError('BUSY', `${path} is held by another process`, { ...details, disposition: 'retry' });
  }
  if (code !== FULL) return meaning(code);
  return new TidemarkError('DISK_FULL', `${path} can’t grow: no space left on the device`, details);
}

/** Whether SQLite found the content of a file to be no database, or no whole one. */
export function isDamagedDatabase(error: unknown): boolean {
  const code = resultCode(error);
  if (code !== undefined) return code === CORRUPT || code === NOT_A_DATABASE;
  return error instanceof Error && error.cause !== undefined && isDamagedDatabase(error.cause);
}
