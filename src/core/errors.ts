import { errorCodes } from './error-codes.ts';
import type { ErrorCode } from './error-codes.ts';

/** What a caller may do about an error: the same again, start over from a full copy, or give up. */
export type Disposition = 'retry' | 'resync' | 'stop';

/** Where in the operator's own input the mistake is. */
export type InputPlace = {
  readonly file: string;
  readonly line?: number | undefined;
  readonly column?: number | undefined;
  readonly key?: string | undefined;
};

export type ErrorDetails = {
  readonly disposition?: Disposition | undefined;
  /** One sentence for the operator; the table's action when absent. */
  readonly hint?: string | undefined;
  readonly where?: InputPlace | undefined;
  readonly cause?: unknown;
};

/** An error that an operator can read: `message` says what happened and to what, in one line. */
export class TidemarkError extends Error {
  override readonly name: string = 'TidemarkError';
  readonly code: ErrorCode;
  readonly disposition: Disposition;
  readonly hint: string;
  readonly where: InputPlace | undefined;

  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.code = code;
    this.disposition = details.disposition ?? 'stop';
    this.hint = details.hint ?? errorCodes[code].action;
    this.where = details.where;
  }
}

export function isTidemarkError(error: unknown, code?: ErrorCode): error is TidemarkError {
  return error instanceof TidemarkError && (code === undefined || error.code === code);
}

/** The operating system's code (`ENOENT`, `ENOSPC`) of an error or of what caused it. Of two that came together, the first's counts. */
export function systemCode(error: unknown): string | undefined {
  if (error instanceof SuppressedError) return systemCode(error.suppressed) ?? systemCode(error.error);
  if (!(error instanceof Error)) return undefined;
  const code: unknown = 'code' in error ? error.code : undefined;
  return !(error instanceof TidemarkError) && typeof code === 'string' ? code : systemCode(error.cause);
}

/** What happened first: a clean-up that fails as well only wraps it. */
function firstError(error: unknown): unknown {
  return error instanceof SuppressedError ? firstError(error.suppressed) : error;
}

const MEANINGS: Readonly<Record<string, string>> = {
  EACCES: 'this user has no permission',
  EPERM: 'the system does not permit it',
  ENOENT: 'it is not there',
  ENOTDIR: 'it is not a folder',
  EISDIR: 'it is a folder',
  ELOOP: 'it is a symbolic link, or leads through too many',
  EIO: 'the disk or the server behind it fails',
  ENAMETOOLONG: 'its path is too long',
  EROFS: 'its file system is read-only',
  ENOTEMPTY: 'it is not empty',
  EEXIST: 'it is there already',
  EBUSY: 'something is mounted on it, or holds it',
  EXDEV: 'it lies on another file system',
};

/** What a code of the system means for a file or folder, as a clause. Undefined for rare ones. */
export function systemMeaning(code: string): string | undefined {
  return MEANINGS[code];
}

/** The conditions of a machine that every layer may meet: full disk, interruption, refusal. Anything else is `fallback`. */
export function fromSystem(thrown: unknown, fallback: ErrorCode, message: string): TidemarkError {
  const error = firstError(thrown);
  if (error instanceof TidemarkError) return error;
  const code = systemCode(error);
  if (code === 'ENOSPC' || code === 'EDQUOT') {
    return new TidemarkError('DISK_FULL', `${message}: no space left on the device`, { cause: thrown });
  }
  const told = error instanceof Error ? error.message : String(error);
  const reason = (code === undefined ? undefined : systemMeaning(code)) ?? told;
  return new TidemarkError(fallback, `${message}: ${reason}`, { cause: thrown });
}

/**
 * An error that an operator can read, of whatever was thrown, the first of several that came together. Undefined: nothing that can happen on a machine,
 * so a fault of the program. `message` is for errors of the system.
 */
export function operatorError(thrown: unknown, message: string): TidemarkError | undefined {
  const error = firstError(thrown);
  if (error instanceof TidemarkError) return error;
  return systemCode(error) === undefined ? undefined : fromSystem(error, 'FAILED', message);
}
