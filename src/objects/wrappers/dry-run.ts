import { TidemarkError } from '../../core/errors.ts';
import type { ObjectInfo, ObjectStore } from '../object-store.ts';
import { forward, sizeOf } from './forward.ts';

/** Larger bodies are counted, not kept. */
const KEPT_BYTES = 1024 * 1024;

/**
 * Takes creates without passing them on: what was created is listed and, where it is small, can be read back; the rest reads as it is.
 * Nothing is deleted. Does not own `store`.
 */
export function dryRunStore(store: ObjectStore): ObjectStore {
  const created = new Map<string, ObjectInfo & { readonly body: Uint8Array | undefined }>();
  return {
    ...forward(store),
    capabilities: { ...store.capabilities, provesDigest: true },
    async create(key, body, run) {
      if (created.has(key) || (await store.stat(key, run)) !== undefined) {
        throw new TidemarkError('OBJECT_EXISTS', `${key} is there already`);
      }
      const sizeBytes = sizeOf(body);
      const kept = sizeBytes <= KEPT_BYTES ? Buffer.concat(body) : undefined;
      created.set(key, { key, sizeBytes, modifiedMs: await store.nowMs(run), body: kept });
    },
    async read(key, offset, into, run) {
      const body = created.get(key)?.body;
      if (body === undefined) return await store.read(key, offset, into, run);
      const piece = body.subarray(offset, offset + into.byteLength);
      into.set(piece);
      return piece.byteLength;
    },
    async stat(key, run) {
      return created.get(key) ?? (await store.stat(key, run));
    },
    async *list(prefix, after, run) {
      yield* store.list(prefix, after, run);
      // In no order with the rest: whoever lists during a dry run only looks for keys.
      const own = [...created.values()].filter(({ key }) => key.startsWith(prefix) && key > after);
      if (own.length > 0) yield own;
    },
    async delete() {},
    async [Symbol.asyncDispose]() {},
  };
}
