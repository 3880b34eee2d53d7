import type { WriterKeys } from '../keys/keyring.ts';
import type { PackDirectory } from '../pack-directory.ts';
import type { CheckPackRequest } from './check-pack.ts';

/** What is to be checked of a pack of which `sizeBytes` were read. */
export function requestOf(pack: PackDirectory, keys: WriterKeys, sizeBytes: number): CheckPackRequest {
  return {
    ...pack.chunks,
    what: pack.key,
    sizeBytes,
    id: pack.key.slice(pack.key.lastIndexOf('/') + 1),
    secret: pack.secret,
    chunkKey: keys.chunkKey,
    nodeKey: keys.nodeKey,
  };
}
