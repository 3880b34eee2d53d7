import { TidemarkError } from '../../core/errors.ts';
import type { Disposition } from '../../core/errors.ts';
import type { ErrorCode } from '../../core/error-codes.ts';

type Translation = { readonly code: ErrorCode; readonly disposition: Disposition; readonly reason: string };

function unreachable(reason: string, disposition: Disposition = 'stop'): Translation {
  return { code: 'REPOSITORY_UNREACHABLE', disposition, reason };
}

const full: Translation = { code: 'DISK_FULL', disposition: 'stop', reason: 'no space left on the device' };
const away = unreachable('the file system is away', 'retry');
const tooManyOpen: Translation = { code: 'FAILED', disposition: 'retry', reason: 'too many open files' };

const translations: Readonly<Record<string, Translation>> = {
  EACCES: unreachable('permission denied'),
  EPERM: unreachable('operation not permitted'),
  EROFS: unreachable('the file system is read-only'),
  ENOENT: unreachable('no such file or folder'),
  ELOOP: unreachable('too many symbolic links'),
  ENOSPC: full,
  EDQUOT: { ...full, reason: 'the disk quota is used up' },
  EFBIG: { code: 'FAILED', disposition: 'stop', reason: 'too big a file for this file system' },
  ENAMETOOLONG: { code: 'FAILED', disposition: 'stop', reason: 'too long a path for this file system' },
  ENOTDIR: { code: 'REPOSITORY_DAMAGED', disposition: 'stop', reason: 'a file is where a folder must be' },
  EISDIR: { code: 'REPOSITORY_DAMAGED', disposition: 'stop', reason: 'a folder is where an object must be' },
  EXDEV: { code: 'UNSUPPORTED', disposition: 'stop', reason: 'its folders lie on different file systems' },
  EMFILE: tooManyOpen,
  ENFILE: tooManyOpen,
  EIO: unreachable('input/output error', 'retry'),
  EREMOTEIO: unreachable('remote input/output error', 'retry'),
  EAGAIN: unreachable('it is busy', 'retry'),
  EBUSY: unreachable('it is busy', 'retry'),
  EINTR: unreachable('the call was interrupted', 'retry'),
  ETIMEDOUT: unreachable('it did not answer in time', 'retry'),
  ESTALE: away,
  ENODEV: away,
  ENXIO: away,
  ENOTCONN: away,
  ECONNRESET: away,
  ENETDOWN: away,
  ENETUNREACH: away,
  EHOSTDOWN: away,
  EHOSTUNREACH: away,
};

/** The code of an error of the file system itself, not of what wraps it. */
export function fileSystemCode(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('syscall' in error) || !('code' in error)) return undefined;
  return typeof error.code === 'string' ? error.code : undefined;
}

export function hasCode(error: unknown, ...codes: readonly string[]): boolean {
  const code = fileSystemCode(error);
  return code !== undefined && codes.includes(code);
}

/**
 * What the operator reads for an error of the file system: `can't ACTION PATH: reason`. Anything else (an abort, a bug, a
 * TidemarkError) comes back as it is.
 */
export function localError(error: unknown, action: string, path: string): unknown {
  const code = fileSystemCode(error);
  if (code === undefined) return error;
  const known = translations[code];
  const reason = known?.reason ?? (error instanceof Error ? error.message : code);
  const message = `can't ${action} ${path}: ${reason}`;
  return new TidemarkError(known?.code ?? 'FAILED', message, {
    disposition: known?.disposition ?? 'stop',
    cause: error,
  });
}
