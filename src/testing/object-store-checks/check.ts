import assert from 'node:assert/strict';
import { isTidemarkError } from '../../core/errors.ts';
import type { ErrorCode } from '../../core/error-codes.ts';
import type { Run } from '../../core/run.ts';
import type { ObjectInfo, ObjectStore, ObjectStoreCapabilities } from '../../objects/object-store.ts';

/** A fresh, empty store. Dispose releases it with all that is in it. */
export interface ObjectStoreFixture extends AsyncDisposable {
  readonly store: ObjectStore;
  /** Another way into the same objects, as another process would have it; the suite disposes it. */
  openAgain(): Promise<ObjectStore>;
  /** Resolves when listings show every create and delete that has ended. Needed where `listsAtOnce` is false. */
  settleListings?(): Promise<void>;
}

export type CheckContext = {
  readonly fixture: ObjectStoreFixture;
  readonly store: ObjectStore;
  /** What the implementation says of itself to the suite, and has to keep. */
  readonly capabilities: ObjectStoreCapabilities;
  readonly run: Run;
  /** Of what the check does at random. */
  readonly seed: number;
};

/** One promise of the contract. `verify` rejects when the store breaks it. */
export type ObjectStoreCheck = { readonly title: string; verify(context: CheckContext): Promise<void> };

export function text(value: string): Uint8Array {
  return Buffer.from(value);
}

/** Bytes that differ from place to place and from each other seed's. */
export function pattern(sizeBytes: number, seed: number): Uint8Array {
  const words = new Uint32Array(Math.ceil(sizeBytes / 4));
  let state = Math.imul(seed, 2_654_435_761) + 1;
  for (let index = 0; index < words.length; index += 1) {
    state = Math.imul(state, 1_664_525) + 1_013_904_223;
    words[index] = state ^ (state >>> 15);
  }
  return new Uint8Array(words.buffer, 0, sizeBytes);
}

export async function readWhole(store: ObjectStore, key: string, run: Run): Promise<Uint8Array> {
  const info = await store.stat(key, run);
  assert.ok(info !== undefined, `${key} is there`);
  // One more than its size, so that a longer object is noticed.
  const bytes = new Uint8Array(info.sizeBytes + 1);
  const count = await store.read(key, 0, bytes, run);
  assert.equal(count, info.sizeBytes, `${key} has as many bytes as it says`);
  return bytes.subarray(0, count);
}

export async function assertHolds(store: ObjectStore, key: string, expected: Uint8Array, run: Run): Promise<void> {
  const found = await readWhole(store, key, run);
  assert.ok(Buffer.compare(found, expected) === 0, `${key} holds the ${expected.byteLength} bytes that were created`);
}

/** Checks batches and order on the way. */
export async function listAll(
  store: ObjectStore,
  range: { prefix: string; after?: string },
  run: Run,
): Promise<ObjectInfo[]> {
  const all: ObjectInfo[] = [];
  for await (const batch of store.list(range.prefix, range.after ?? '', run)) {
    assert.ok(batch.length >= 1 && batch.length <= 1000, `a batch of 1 to 1,000, not ${batch.length}`);
    all.push(...batch);
  }
  for (const [index, { key }] of all.entries()) {
    const before = all[index - 1]?.key;
    assert.ok(
      before === undefined || Buffer.compare(Buffer.from(before), Buffer.from(key)) < 0,
      `${before} before ${key}`,
    );
  }
  return all;
}

export async function listKeys(
  store: ObjectStore,
  range: { prefix: string; after?: string },
  run: Run,
): Promise<string[]> {
  return (await listAll(store, range, run)).map((info) => info.key);
}

export async function assertRejects(call: Promise<unknown>, code: ErrorCode): Promise<void> {
  await assert.rejects(call, (error) => {
    assert.ok(isTidemarkError(error), `a TidemarkError, not ${String(error)}`);
    assert.equal(error.code, code);
    return true;
  });
}

/** Waits for all, also when one fails, so that nothing runs on into the next check. */
export async function all<T>(calls: readonly Promise<T>[]): Promise<readonly T[]> {
  await Promise.allSettled(calls);
  return await Promise.all(calls);
}

/** Creates many, a few at a time. */
export async function createMany(store: ObjectStore, keys: readonly string[], run: Run): Promise<void> {
  const AT_ONCE = 32;
  for (let from = 0; from < keys.length; from += AT_ONCE) {
    await all(keys.slice(from, from + AT_ONCE).map((key) => store.create(key, [text(key)], run)));
  }
}
