import { equalBytes } from '../../core/bytes.ts';
import { isTidemarkError } from '../../core/errors.ts';
import type { Run } from '../../core/run.ts';
import { retrying } from '../../flow/back-off.ts';
import type { RetryPolicy } from '../../flow/back-off.ts';
import type { ObjectInfo, ObjectStore } from '../object-store.ts';
import { forward, sizeOf } from './forward.ts';

const COMPARE_BYTES = 1 << 20;

/**
 * Repeats calls that fail with `disposition: 'retry'`, as the policy says. Owns `store`.
 *
 * A create whose answer was lost may have taken effect: when a repetition meets OBJECT_EXISTS, what is there is read back, and the same bytes
 * are success. So two callers that create one key with equal bytes may both succeed; whoever needs exactly one winner puts something of
 * its own into the body. A listing goes on behind the last key that it gave; the policy counts anew for each batch.
 */
export function retryingStore(store: ObjectStore, policy: RetryPolicy): ObjectStore {
  const repeat = <T>(operation: (run: Run) => Promise<T>, run: Run): Promise<T> => retrying(operation, policy, run);
  const looks: Looks = {
    read: (key, offset, into, run) => repeat((inner) => store.read(key, offset, into, inner), run),
    stat: (key, run) => repeat((inner) => store.stat(key, inner), run),
  };
  return {
    ...forward(store),
    ...looks,
    async create(key, body, run) {
      let repeated = false;
      try {
        await retrying(
          async (inner, attempt) => {
            repeated = attempt > 1;
            await store.create(key, body, inner);
          },
          policy,
          run,
        );
      } catch (error) {
        if (!repeated || !isTidemarkError(error, 'OBJECT_EXISTS')) throw error;
        if (!(await holds(looks, key, body, run))) throw error;
      }
    },
    list: (prefix, after, run) => listOn(store, { prefix, after, policy }, run),
    delete: (keys, run) => repeat((inner) => store.delete(keys, inner), run),
    nowMs: (run) => repeat((inner) => store.nowMs(inner), run),
  };
}

type Looks = Pick<ObjectStore, 'read' | 'stat'>;

async function holds(store: Looks, key: string, body: readonly Uint8Array[], run: Run): Promise<boolean> {
  const info = await store.stat(key, run);
  if (info?.sizeBytes !== sizeOf(body)) return false;
  const found = new Uint8Array(Math.min(COMPARE_BYTES, info.sizeBytes));
  let offset = 0;
  for (const part of body) {
    for (let from = 0; from < part.byteLength; from += found.byteLength) {
      const expected = part.subarray(from, from + found.byteLength);
      const place = found.subarray(0, expected.byteLength);
      const count = await store.read(key, offset, place, run);
      if (!equalBytes(place.subarray(0, count), expected)) return false;
      offset += count;
    }
  }
  return true;
}

type Listing = { readonly prefix: string; readonly after: string; readonly policy: RetryPolicy };

async function* listOn(
  store: ObjectStore,
  { prefix, after, policy }: Listing,
  run: Run,
): AsyncGenerator<readonly ObjectInfo[]> {
  let last = after;
  let open: AsyncIterator<readonly ObjectInfo[]> | undefined;
  const pull = async (): Promise<IteratorResult<readonly ObjectInfo[]>> => {
    const listing = open ?? store.list(prefix, last, run)[Symbol.asyncIterator]();
    // One that failed has ended: the next attempt begins another.
    open = undefined;
    const result = await listing.next();
    open = listing;
    return result;
  };
  try {
    for (;;) {
      const result = await retrying(pull, policy, run);
      if (result.done === true) return;
      yield result.value;
      last = result.value.at(-1)?.key ?? last;
    }
  } finally {
    await open?.return?.();
  }
}
