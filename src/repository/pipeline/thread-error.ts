import { ContentChangedError } from '../../core/content-changed.ts';
import type { ErrorCode } from '../../core/error-codes.ts';
import { TidemarkError } from '../../core/errors.ts';
import type { Disposition } from '../../core/errors.ts';
import { BugError } from '../../core/must.ts';

/** An error as it goes between threads: a clone would lose its class and its code. */
export type ThreadError = {
  readonly kind: 'changed' | 'bug' | 'tidemark' | 'other';
  readonly message: string;
  readonly stack?: string | undefined;
  readonly code?: string | undefined;
  readonly errno?: number | undefined;
  readonly syscall?: string | undefined;
  readonly disposition?: Disposition | undefined;
  readonly hint?: string | undefined;
  readonly cause?: ThreadError | undefined;
};

type Facts = Pick<ThreadError, 'code' | 'errno' | 'syscall' | 'disposition' | 'hint'>;

export function packError(error: unknown): ThreadError {
  if (!(error instanceof Error)) return { kind: 'other', message: String(error) };
  const { code, errno, syscall, disposition, hint } = error as Facts;
  const cause = error.cause === undefined ? undefined : packError(error.cause);
  return {
    kind: kindOf(error),
    message: error.message,
    stack: error.stack,
    code,
    errno,
    syscall,
    disposition,
    hint,
    cause,
  };
}

function kindOf(error: Error): ThreadError['kind'] {
  if (error instanceof ContentChangedError) return 'changed';
  if (error instanceof BugError) return 'bug';
  return error instanceof TidemarkError ? 'tidemark' : 'other';
}

/**
 * The error again, with its class where it is one of ours, and with the system's `code`. The stack is the one of the
 * thread where it arose.
 */
export function unpackError(packed: ThreadError): Error {
  const error = build(packed);
  if (packed.stack !== undefined) error.stack = packed.stack;
  return error;
}

function build({ kind, message, cause, ...facts }: ThreadError): Error {
  const options = cause === undefined ? undefined : { cause: unpackError(cause) };
  switch (kind) {
    case 'changed':
      return new ContentChangedError(message, options);
    case 'bug':
      return new BugError(message, options);
    case 'tidemark':
      // Only a TidemarkError is packed as one, and its code is one of the table.
      return new TidemarkError(facts.code as ErrorCode, message, { ...facts, ...options });
    case 'other': {
      const { code, errno, syscall } = facts;
      return Object.assign(new Error(message, options), code === undefined ? {} : { code, errno, syscall });
    }
  }
}
