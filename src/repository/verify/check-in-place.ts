import { createHash, createHmac } from 'node:crypto';
import { equalBytes } from '../../core/bytes.ts';
import type { Run } from '../../core/run.ts';
import type { RepositoryAccess } from '../access.ts';
import { damaged, isDamage } from '../format/byte-cursor.ts';
import { PACK_HEADER_BYTES, unsealBlock } from '../format/pack.ts';
import type { WriterKeys } from '../keys/keyring.ts';
import { openBlock } from '../pipeline/block.ts';
import type { PackCheck, PackChecker } from '../verify.ts';
import type { PackDirectory } from './directories.ts';

/** Checks packs on the caller's thread, one block after another. */
export function checkInPlace(access: RepositoryAccess): PackChecker {
  return {
    atOnce: 1,
    check: (pack, keys, run) => checkPack(access, { pack, keys }, run),
    async [Symbol.asyncDispose]() {},
  };
}

async function checkPack(access: RepositoryAccess, options: { pack: PackDirectory; keys: WriterKeys }, run: Run): Promise<PackCheck> {
  const { pack, keys } = options;
  const bytes = new Uint8Array(pack.sizeBytes);
  const badChunks: Uint8Array[] = [];
  let message: string | undefined;
  let [chunks, sizeBytes, offset] = [0, 0, PACK_HEADER_BYTES];
  const read = await access.objects.read(pack.key, 0, bytes, run);
  const digest = createHash('sha256').update(bytes.subarray(0, read)).digest('hex');
  if (!pack.key.endsWith(digest)) message = `${pack.key} is damaged: its bytes are not the ones that its name says`;
  for (const [number, block] of pack.blocks.entries()) {
    try {
      if (read < offset + block.sealedBytes) throw damaged(pack.key, 'it ends too early');
      const sealed = bytes.subarray(offset, offset + block.sealedBytes);
      const plain = openBlock(unsealBlock({ secret: pack.secret, number, sealed, what: pack.key }));
      let at = 0;
      for (const chunk of block.chunks) {
        const chunkBytes = plain.subarray(at, at + chunk.sizeBytes);
        at += chunk.sizeBytes;
        chunks++;
        sizeBytes += chunkBytes.byteLength;
        if (!isChunk(keys, chunk, chunkBytes)) badChunks.push(chunk.id);
      }
    } catch (error) {
      if (!isDamage(error) || !(error instanceof Error)) throw error;
      message ??= error.message;
      badChunks.push(...block.chunks.map(({ id }) => id));
    }
    offset += block.sealedBytes;
  }
  return { badChunks, chunks, bytes: sizeBytes, message };
}

function isChunk(keys: WriterKeys, chunk: PackDirectory['blocks'][number]['chunks'][number], bytes: Uint8Array): boolean {
  const key = chunk.kind === 'node' ? keys.nodeKey : keys.chunkKey;
  return bytes.byteLength === chunk.sizeBytes && equalBytes(createHmac('sha256', key).update(bytes).digest(), chunk.id);
}
