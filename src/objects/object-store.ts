import type { Run } from '../core/run.ts';

/** `modifiedMs` is the store's clock, not this host's. */
export type ObjectInfo = { readonly key: string; readonly sizeBytes: number; readonly modifiedMs: number };

/**
 * `exclusiveCreate`: of several that create one key at once, exactly one succeeds and the others get OBJECT_EXISTS.
 * `provesDigest`: the store has compared a digest of what it keeps with what was sent, so reading back adds nothing.
 * `listsAtOnce`: a listing that starts after a create or delete has ended shows it.
 */
export type ObjectStoreCapabilities = {
  readonly exclusiveCreate: boolean;
  readonly provesDigest: boolean;
  readonly listsAtOnce: boolean;
};

/**
 * A home for immutable objects. Nothing is ever overwritten. All calls may run at once, and none holds another up.
 * Keys are parts joined by `/`, at most 512 characters; a part is 1 to 128 of `[a-z0-9._-]` and begins with a letter or digit. No
 * key is the folder of another: beside `a/b` there is no `a`, so that a repository can be copied between a folder and a bucket.
 * Errors are TidemarkErrors; `disposition: 'retry'` marks what may pass (busy, reset, timed out). A key that isn't one is a BugError.
 * Where the signal aborts, a call rejects with its reason as soon as it can. Dispose is idempotent and does not end calls that run.
 */
export interface ObjectStore extends AsyncDisposable {
  /** For people: where it is. Holds no secret. */
  readonly url: string;
  readonly capabilities: ObjectStoreCapabilities;
  /**
   * Whole and durable when it resolves, or absent when it rejects; a rejection may also leave it whole. The parts are one body; they are
   * not touched after it settles. @throws OBJECT_EXISTS where the key is taken and `exclusiveCreate`; what is there is whole and durable.
   */
  create(key: string, body: readonly Uint8Array[], run: Run): Promise<void>;
  /**
   * Fills `into` from `offset`; returns how many bytes there were, fewer than asked only at the object's end.
   * @throws OBJECT_NOT_FOUND
   */
  read(key: string, offset: number, into: Uint8Array, run: Run): Promise<number>;
  /** Size and time of one object, or undefined when it is absent. */
  stat(key: string, run: Run): Promise<ObjectInfo | undefined>;
  /**
   * Objects whose key begins with `prefix` and comes after `after` ('' for all), in ascending order of keys (bytewise), in batches of 1 to
   * 1,000. What is created or deleted while it runs may be in it or not; no key comes twice.
   */
  list(prefix: string, after: string, run: Run): AsyncIterable<readonly ObjectInfo[]>;
  /** An absent key is fine. Resolves when all are gone. */
  delete(keys: readonly string[], run: Run): Promise<void>;
  /**
   * The store's own time in milliseconds since 1970. An object's `modifiedMs` is never before a `nowMs` asked before its create began, nor
   * after one asked when it has resolved.
   */
  nowMs(run: Run): Promise<number>;
}
