import { fromSystem, isTidemarkError, TidemarkError } from '../../core/errors.ts';

/** Result codes of SQLite, without their extended part: https://sqlite.org/rescode.html */
const BUSY = 5;
const LOCKED = 6;
const READ_ONLY = 8;
const CORRUPT = 11;
const FULL = 13;
const CANNOT_OPEN = 14;
const NOT_A_DATABASE = 26;

function resultCode(error: unknown): number | undefined {
  if (!(error instanceof Error) || !('errcode' in error) || typeof error.errcode !== 'number') return undefined;
  return error.errcode & 0xff;
}

/** What SQLite says, as an error that an operator can read. Errors of Tidemark, and whatever is none of SQLite's, stay as they are. */
export function storeError(path: string, error: unknown): unknown {
  if (isTidemarkError(error)) return error;
  const details = { cause: error };
  switch (resultCode(error)) {
    case undefined:
      return error;
    case BUSY:
    case LOCKED:
      return new TidemarkError('BUSY', `${path} is held by another process`, { ...details, disposition: 'retry' });
    case FULL:
      return new TidemarkError('DISK_FULL', `${path} can’t grow: no space left on the device`, details);
    case CORRUPT:
      return new TidemarkError('STORE_UNREACHABLE', `${path} is damaged`, {
        ...details,
        hint: 'Restore it with `tidemark restore`.',
      });
    case NOT_A_DATABASE:
      return notOurs(path, details.cause);
    case READ_ONLY:
      return new TidemarkError('STORE_UNREACHABLE', `${path} can’t be written`, details);
    case CANNOT_OPEN:
      return new TidemarkError('STORE_UNREACHABLE', `${path} can’t be opened`, details);
    default:
      return fromSystem(error, 'STORE_UNREACHABLE', path);
  }
}

export function notOurs(path: string, cause?: unknown): TidemarkError {
  return new TidemarkError('STORE_UNREACHABLE', `${path} is not an embedded store`, {
    hint: 'Name the file that the application opens with openEmbedded.',
    cause,
  });
}

/** Whether SQLite found the content of a file to be no database, or no whole one. */
export function isDamagedFile(error: unknown): boolean {
  const code = resultCode(error);
  if (code !== undefined) return code === CORRUPT || code === NOT_A_DATABASE;
  return error instanceof Error && error.cause !== undefined && isDamagedFile(error.cause);
}

/** Runs `work`, whose errors of SQLite become readable. */
export function withStoreErrors<Result>(path: string, work: () => Result): Result {
  try {
    return work();
  } catch (error) {
    throw storeError(path, error);
  }
}
