import { ByteCursor } from './byte-cursor.ts';
import { MAX_BLOCK_BYTES, MAX_PACK_BYTES, MAX_PACK_CHUNKS, unsealDirectory } from './pack.ts';

const ID_BYTES = 32;
/** What a chunk takes in a directory at least. */
const LEAST_CHUNK_BYTES = 1 + ID_BYTES + 1;

/**
 * The directory of a pack without an object for each chunk: a large one has 65,536. Chunks are numbered through all blocks, in order.
 * Nothing in it is larger than a pack or a block can be.
 */
export type ChunkTable = {
  /** Of each block. */
  readonly sealedBytes: Uint32Array<ArrayBuffer>;
  readonly chunkCounts: Uint32Array<ArrayBuffer>;
  /** Of each chunk; 1 for nodes. */
  readonly kinds: Uint8Array<ArrayBuffer>;
  readonly sizes: Uint32Array<ArrayBuffer>;
  /** One after another. */
  readonly ids: Uint8Array<ArrayBuffer>;
};

/** As `openDirectory`. @throws REPOSITORY_DAMAGED */
export function openChunkTable(options: Parameters<typeof unsealDirectory>[0]): ChunkTable {
  const plain = unsealDirectory(options);
  const cursor = new ByteCursor(plain, options.what);
  const most = Math.min(MAX_PACK_CHUNKS, Math.floor(plain.byteLength / LEAST_CHUNK_BYTES));
  const [kinds, sizes, ids] = [new Uint8Array(most), new Uint32Array(most), new Uint8Array(most * ID_BYTES)];
  const sealedBytes: number[] = [];
  const chunkCounts: number[] = [];
  let chunk = 0;
  for (let left = cursor.varint(); left > 0; left--) {
    sealedBytes.push(atMost(cursor, MAX_PACK_BYTES));
    const count = atMost(cursor, most - chunk);
    if (count === 0) cursor.fail('a block in it has no chunk');
    chunkCounts.push(count);
    for (const end = chunk + count; chunk < end; chunk++) {
      const kind = cursor.u8();
      if (kind > 1) cursor.fail('a chunk in it is of no known kind');
      kinds[chunk] = kind;
      ids.set(cursor.bytes(ID_BYTES), chunk * ID_BYTES);
      sizes[chunk] = atMost(cursor, MAX_BLOCK_BYTES);
    }
  }
  cursor.expectEnd();
  return {
    sealedBytes: Uint32Array.from(sealedBytes),
    chunkCounts: Uint32Array.from(chunkCounts),
    kinds: kinds.slice(0, chunk),
    sizes: sizes.slice(0, chunk),
    ids: ids.slice(0, chunk * ID_BYTES),
  };
}

/** A view of the id of a chunk. */
export function chunkId({ ids }: ChunkTable, chunk: number): Uint8Array {
  return ids.subarray(chunk * ID_BYTES, (chunk + 1) * ID_BYTES);
}

function atMost(cursor: ByteCursor, limit: number): number {
  const value = cursor.varint();
  return value <= limit ? value : cursor.fail('its directory has a number that can’t be');
}
