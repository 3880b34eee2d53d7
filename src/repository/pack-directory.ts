import { fromHex, toHex } from '../core/bytes.ts';
import { TidemarkError } from '../core/errors.ts';
import type { Run } from '../core/run.ts';
import type { RepositoryAccess } from './access.ts';
import { damaged } from './format/byte-cursor.ts';
import { openChunkTable } from './format/chunk-table.ts';
import type { ChunkTable } from './format/chunk-table.ts';
import type { KeyPair } from './format/crypto.ts';
import {
  BLOCK_SEAL_BYTES,
  directorySize,
  MAX_BLOCK_BYTES,
  MAX_PACK_BYTES,
  openPackHeader,
  PACK_HEADER_BYTES,
  PACK_TRAILER_BYTES,
  packIdOf,
} from './format/pack.ts';
import type { PackSecret } from './format/pack.ts';

/** Most directories lie within this many bytes at the end of their pack. */
const TAIL_BYTES = 64 * 1024;

/** A pack whose header and directory open. */
export type PackDirectory = {
  readonly key: string;
  readonly credential: string;
  readonly sizeBytes: number;
  readonly secret: PackSecret;
  /** Blocks lie one after another from `PACK_HEADER_BYTES` on. */
  readonly chunks: ChunkTable;
  /** Whether it is the pack that its key says. Another one under this key can be read all the same. */
  readonly isNamed: boolean;
};

/** Reads header, directory and trailer, and checks that the blocks fill the rest. @throws REPOSITORY_DAMAGED; KEY_MISSING without a reader's key */
export async function openPackDirectory(
  access: RepositoryAccess,
  options: { readonly key: string; readonly credential: string; readonly idKey: Uint8Array },
  run: Run,
): Promise<PackDirectory> {
  const { key, credential, idKey } = options;
  const content = readerKey(access);
  const info = await access.objects.stat(key, run);
  if (info === undefined) throw damaged(key, 'it is gone');
  const { sizeBytes } = info;
  if (sizeBytes < PACK_HEADER_BYTES + PACK_TRAILER_BYTES) throw damaged(key, 'it is too short');
  if (sizeBytes > MAX_PACK_BYTES) throw damaged(key, 'it is larger than a pack can be');
  const exactly = async (offset: number, length: number): Promise<Uint8Array> => {
    const bytes = new Uint8Array(length);
    if ((await access.objects.read(key, offset, bytes, run)) !== length) throw damaged(key, 'it is too short');
    return bytes;
  };
  const tailBytes = Math.min(sizeBytes, TAIL_BYTES);
  const tail = await exactly(sizeBytes - tailBytes, tailBytes);
  const trailerAt = tailBytes - PACK_TRAILER_BYTES;
  const directoryBytes = directorySize(tail.subarray(trailerAt), sizeBytes, key);
  const directoryAt = sizeBytes - PACK_TRAILER_BYTES - directoryBytes;
  const sealed =
    directoryBytes <= trailerAt
      ? tail.subarray(trailerAt - directoryBytes, trailerAt)
      : await exactly(directoryAt, directoryBytes);
  const header = tailBytes === sizeBytes ? tail.subarray(0, PACK_HEADER_BYTES) : await exactly(0, PACK_HEADER_BYTES);
  const owner = { repository: fromHex(access.header.id), writer: fromHex(credential) };
  const chunks = openChunkTable({ sealed, header, owner, idKey, what: key });
  checkBlocks(chunks, directoryAt, key);
  const secret = openPackHeader({ header, owner, content, what: key });
  const isNamed = key.endsWith(`/${toHex(packIdOf(header, Buffer.concat([sealed, tail.subarray(trailerAt)])))}`);
  return { key, credential, sizeBytes, secret, chunks, isNamed };
}

function checkBlocks({ sealedBytes, chunkCounts, sizes }: ChunkTable, end: number, key: string): void {
  let offset = PACK_HEADER_BYTES;
  let chunk = 0;
  for (const [block, blockBytes] of sealedBytes.entries()) {
    offset += blockBytes;
    let plainBytes = 0;
    for (const last = chunk + (chunkCounts[block] ?? 0); chunk < last; chunk++) plainBytes += sizes[chunk] ?? 0;
    if (blockBytes < BLOCK_SEAL_BYTES || plainBytes > MAX_BLOCK_BYTES) {
      throw damaged(key, 'its directory has a block that can’t be');
    }
  }
  if (offset !== end) throw damaged(key, 'its blocks don’t fill it');
}

/** The key that opens packs. @throws KEY_MISSING */
export function readerKey(access: RepositoryAccess): KeyPair {
  const pair = access.keyring?.content?.pair;
  if (pair === undefined) {
    throw new TidemarkError('KEY_MISSING', 'reading takes a passphrase with the role of a reader');
  }
  return pair;
}
