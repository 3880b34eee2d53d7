import { fromHex } from '../../core/bytes.ts';
import type { Run } from '../../core/run.ts';
import type { RepositoryAccess } from '../access.ts';
import { damaged } from '../format/byte-cursor.ts';
import type { KeyPair } from '../format/crypto.ts';
import { directorySize, openDirectory, openPackHeader, PACK_HEADER_BYTES, PACK_TRAILER_BYTES } from '../format/pack.ts';
import type { ChunkKind, DirectoryBlock, PackSecret } from '../format/pack.ts';
import { TidemarkError } from '../../core/errors.ts';

/** A pack whose header and directory open. */
export type PackDirectory = {
  readonly key: string;
  readonly credential: string;
  readonly sizeBytes: number;
  readonly secret: PackSecret;
  readonly blocks: readonly DirectoryBlock[];
};

/** Where a chunk is, by the word of its pack's directory. */
export type DirectoryPlace = {
  readonly pack: PackDirectory;
  readonly block: number;
  readonly blockOffset: number;
  readonly offset: number;
  readonly sizeBytes: number;
  readonly kind: ChunkKind;
};

/** Reads header, trailer and directory. @throws REPOSITORY_DAMAGED */
export async function openPackDirectory(
  access: RepositoryAccess,
  options: { readonly key: string; readonly credential: string; readonly idKey: Uint8Array },
  run: Run,
): Promise<PackDirectory> {
  const { key, credential } = options;
  const info = await access.objects.stat(key, run);
  if (info === undefined) throw damaged(key, 'it is gone');
  const exactly = async (offset: number, sizeBytes: number): Promise<Uint8Array> => {
    const bytes = new Uint8Array(sizeBytes);
    if (offset < 0 || (await access.objects.read(key, offset, bytes, run)) !== sizeBytes) throw damaged(key, 'it is too short');
    return bytes;
  };
  const header = await exactly(0, PACK_HEADER_BYTES);
  const trailer = await exactly(info.sizeBytes - PACK_TRAILER_BYTES, PACK_TRAILER_BYTES);
  const directoryBytes = directorySize(trailer, info.sizeBytes, key);
  const sealed = await exactly(info.sizeBytes - PACK_TRAILER_BYTES - directoryBytes, directoryBytes);
  const owner = { repository: fromHex(access.header.id), writer: fromHex(credential) };
  const blocks = openDirectory({ sealed, header, owner, idKey: options.idKey, what: key });
  const blockBytes = blocks.reduce((sum, block) => sum + block.sealedBytes, 0);
  if (PACK_HEADER_BYTES + blockBytes + directoryBytes + PACK_TRAILER_BYTES !== info.sizeBytes) throw damaged(key, 'its blocks don’t fill it');
  const secret = openPackHeader({ header, owner, content: readerKey(access), what: key });
  return { key, credential, sizeBytes: info.sizeBytes, secret, blocks };
}

function readerKey(access: RepositoryAccess): KeyPair {
  const pair = access.keyring?.content?.pair;
  if (pair === undefined) throw new TidemarkError('KEY_MISSING', 'reading takes a passphrase with the role of a reader');
  return pair;
}

/** Chunks of one writer by id, as the directories of its packs have them. */
export class DirectoryMap {
  readonly #places = new Map<string, DirectoryPlace[]>();

  add(pack: PackDirectory): void {
    let blockOffset = PACK_HEADER_BYTES;
    for (const [block, { sealedBytes, chunks }] of pack.blocks.entries()) {
      let offset = 0;
      for (const { id, kind, sizeBytes } of chunks) {
        const key = keyOf(id);
        const places = this.#places.get(key) ?? [];
        this.#places.set(key, places);
        places.push({ pack, block, blockOffset, offset, sizeBytes, kind });
        offset += sizeBytes;
      }
      blockOffset += sealedBytes;
    }
  }

  find(id: Uint8Array): readonly DirectoryPlace[] {
    return this.#places.get(keyOf(id)) ?? [];
  }

  /** The chunk is not good in that pack. */
  forget(id: Uint8Array, packKey: string): void {
    const places = this.find(id).filter(({ pack }) => pack.key !== packKey);
    this.#places.set(keyOf(id), places);
  }
}

function keyOf(id: Uint8Array): string {
  return Buffer.from(id.buffer, id.byteOffset, id.byteLength).toString('latin1');
}
