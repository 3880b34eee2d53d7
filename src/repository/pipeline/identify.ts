import { createHmac, createSecretKey } from 'node:crypto';

/** The id of a chunk: HMAC-SHA-256 under the writer's key. 32 bytes. */
export type Identify = (chunk: Uint8Array) => Uint8Array;

export function createIdentify(chunkKey: Uint8Array): Identify {
  // A key object spares most of the cost of a small chunk.
  const key = createSecretKey(chunkKey);
  return (chunk) => createHmac('sha256', key).update(chunk).digest();
}
