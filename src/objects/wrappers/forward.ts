import type { ObjectStore } from '../object-store.ts';

/** Passes every call on. Wrappers spread it and replace what they change; disposing it disposes `store`. */
export function forward(store: ObjectStore): ObjectStore {
  return {
    url: store.url,
    capabilities: store.capabilities,
    create: (key, body, run) => store.create(key, body, run),
    read: (key, offset, into, run) => store.read(key, offset, into, run),
    stat: (key, run) => store.stat(key, run),
    list: (prefix, after, run) => store.list(prefix, after, run),
    delete: (keys, run) => store.delete(keys, run),
    nowMs: (run) => store.nowMs(run),
    [Symbol.asyncDispose]: () => store[Symbol.asyncDispose](),
  };
}

export function sizeOf(body: readonly Uint8Array[]): number {
  return body.reduce((sum, part) => sum + part.byteLength, 0);
}
