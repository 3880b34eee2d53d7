import { fromSystem, TidemarkError } from '../../core/errors.ts';
import { CANNOT_OPEN, CORRUPT, NOT_A_DATABASE, READ_ONLY, sqliteError } from '../../io/sqlite-errors.ts';

export function notOurs(path: string, cause?: unknown): TidemarkError {
  return new TidemarkError('STORE_UNREACHABLE', `${path} is not an embedded store`, {
    hint: 'Name the file that the application opens with openEmbedded.',
    cause,
  });
}

/** Runs `work`, whose errors of SQLite become readable. */
export function withStoreErrors<Result>(path: string, work: () => Result): Result {
  try {
    return work();
  } catch (error) {
    throw sqliteError(path, error, (code) => unreachable(path, code, error));
  }
}

function unreachable(path: string, code: number, cause: unknown): TidemarkError {
  switch (code) {
    case CORRUPT:
      return new TidemarkError('STORE_UNREACHABLE', `${path} is damaged`, {
        cause,
        hint: 'Restore it with `tidemark restore`.',
      });
    case NOT_A_DATABASE:
      return notOurs(path, cause);
    case READ_ONLY:
      return new TidemarkError('STORE_UNREACHABLE', `${path} can’t be written`, { cause });
    case CANNOT_OPEN:
      return new TidemarkError('STORE_UNREACHABLE', `${path} can’t be opened`, { cause });
    default:
      return fromSystem(cause, 'STORE_UNREACHABLE', path);
  }
}
