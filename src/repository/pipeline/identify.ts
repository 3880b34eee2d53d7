import { createHmac, createSecretKey } from 'node:crypto';

/** The id of a chunk or a node: HMAC-SHA-256 under the writer's key. 32 bytes. */
export type Identify = (bytes: Uint8Array) => Uint8Array;

export function createIdentify(writerKey: Uint8Array): Identify {
  // A key object spares most of the cost of a small chunk.
  const key = createSecretKey(writerKey);
  return (bytes) => createHmac('sha256', key).update(bytes).digest();
}
