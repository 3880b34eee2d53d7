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

/** The operating system's code (`ENOENT`, `ENOSPC`) of an error or of what caused it. */
export function systemCode(error: unknown): string | undefined {
  for (let at: unknown = error; at instanceof Error; at = at.cause) {
    const code: unknown = 'code' in at ? at.code : undefined;
    if (!(at instanceof TidemarkError) && typeof code === 'string') return code;
  }
  return undefined;
}

/** The conditions of a machine that every layer may meet: full disk, interruption, refusal. Anything else is `fallback`. */
export function fromSystem(error: unknown, fallback: ErrorCode, message: string): TidemarkError {
  if (error instanceof TidemarkError) return error;
  const code = systemCode(error);
  const reason = error instanceof Error ? error.message : String(error);
  if (code === 'ENOSPC' || code === 'EDQUOT') {
    return new TidemarkError('DISK_FULL', `${message}: no space left on the device`, { cause: error });
  }
  return new TidemarkError(fallback, `${message}: ${reason}`, { cause: error });
}
