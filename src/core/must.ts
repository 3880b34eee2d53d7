/** A broken assumption inside Tidemark: a bug, never the operator's fault, never retried. */
export class BugError extends Error {
  override readonly name = 'BugError';
}

/** Returns `value`, which can't be absent here because of `why`. @throws BugError when it is. */
export function must<T>(value: T | null | undefined, why: string): T {
  if (value === null || value === undefined) throw new BugError(`expected: ${why}`);
  return value;
}

/** @throws BugError when `condition` is false. */
export function assume(condition: boolean, why: string): asserts condition {
  if (!condition) throw new BugError(`expected: ${why}`);
}
