import type { WriterKeys } from '../keys/keyring.ts';
import type { PackDirectory } from '../pack-directory.ts';
import type { CheckPackRequest } from './check-pack.ts';

const ID_BYTES = 32;

/** What is to be checked of a pack of which `sizeBytes` were read. */
export function requestOf(pack: PackDirectory, keys: WriterKeys, sizeBytes: number): CheckPackRequest {
  const chunks = pack.blocks.flatMap((block) => block.chunks);
  const ids = new Uint8Array(chunks.length * ID_BYTES);
  for (const [index, { id }] of chunks.entries()) ids.set(id, index * ID_BYTES);
  return {
    what: pack.key,
    sizeBytes,
    id: pack.key.slice(pack.key.lastIndexOf('/') + 1),
    secret: pack.secret,
    chunkKey: keys.chunkKey,
    nodeKey: keys.nodeKey,
    sealedBytes: Uint32Array.from(pack.blocks, (block) => block.sealedBytes),
    chunkCounts: Uint32Array.from(pack.blocks, (block) => block.chunks.length),
    sizes: Uint32Array.from(chunks, (chunk) => chunk.sizeBytes),
    kinds: Uint8Array.from(chunks, (chunk) => (chunk.kind === 'node' ? 1 : 0)),
    ids,
  };
}
