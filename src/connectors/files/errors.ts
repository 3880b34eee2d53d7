import { systemCode, systemMeaning, TidemarkError } from '../../core/errors.ts';
import type { ErrorCode } from '../../core/error-codes.ts';
import { printablePath } from './byte-text.ts';
import type { ByteText } from './byte-text.ts';

/** One clause that says why, without a stack and without the path. */
export function reasonOf(cause: unknown): string {
  const code = systemCode(cause);
  if (code !== undefined) return systemMeaning(code) ?? code;
  return cause instanceof Error ? cause.message : String(cause);
}

/** True where the system says that something is gone or is no longer what it was. */
export function isGone(cause: unknown): boolean {
  const code = systemCode(cause);
  return code === 'ENOENT' || code === 'ENOTDIR' || code === 'ELOOP' || code === 'ESTALE' || code === 'EINVAL';
}

/** For what happens to a path of this store: full disk and the like keep their own code. */
export function fileError(code: ErrorCode, message: string, cause: unknown): TidemarkError {
  if (cause instanceof TidemarkError) return cause;
  const system = systemCode(cause);
  if (system === 'ENOSPC' || system === 'EDQUOT') {
    return new TidemarkError('DISK_FULL', `${message}: no space left on the device`, { cause });
  }
  return new TidemarkError(code, `${message}: ${reasonOf(cause)}`, { cause });
}

export function storeUnreachable(path: ByteText, cause: unknown): TidemarkError {
  return fileError('STORE_UNREACHABLE', `the folder ${printablePath(path)} can’t be read`, cause);
}
