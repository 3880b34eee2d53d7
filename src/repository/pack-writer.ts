import { TidemarkError } from '../core/errors.ts';
import { fromHex, toHex } from '../core/bytes.ts';
import type { RandomBytes, Run } from '../core/run.ts';
import type { ObjectStore } from '../objects/object-store.ts';
import { compareStored } from './compare-stored.ts';
import { packKey } from './format/names.ts';
import {
  BLOCK_SEAL_BYTES,
  PACK_HEADER_BYTES,
  packEnd,
  packHeader,
  packIdOf,
  sealBlockInto,
  unsealBlock,
} from './format/pack.ts';
import type { ChunkKind, DirectoryBlock, PackSecret } from './format/pack.ts';
import type { RepositoryHeader } from './format/header.ts';
import type { ChunkIndex } from './index/chunk-index.ts';
import type { WriterCredential } from './keys/credential.ts';
import type { PlainBlock } from './pipeline/engine.ts';
import { openBlock } from './pipeline/block.ts';
import { keepBlock } from './small-packs.ts';
import type { SmallPacks } from './small-packs.ts';

/** A pack is closed once it has this much, and where chunks are small, once it has so many of the largest. */
const PACK_TARGET_BYTES = 16 * 1024 * 1024;
const PACK_TARGET_CHUNKS = 4;
/** More would fit into no object of the index. */
const PACK_MOST_CHUNKS = 65_536;
/** Room for the block that fills a pack, in parts of the pack; with more the buffer grows. */
const LAST_BLOCK_PART = 3 / 8;

export type PackWriterOptions = {
  readonly objects: ObjectStore;
  readonly header: RepositoryHeader;
  readonly credential: WriterCredential;
  readonly index: ChunkIndex;
  readonly random: RandomBytes;
  readonly kind: ChunkKind;
  /** Packs on their way to the object store at once. */
  readonly uploads: number;
  /** Keeps what lies in packs that stay small. */
  readonly small?: SmallPacks | undefined;
};

type OpenPack = {
  readonly secret: PackSecret;
  buffer: Uint8Array;
  size: number;
  chunks: number;
  readonly blocks: (DirectoryBlock & { readonly offset: number })[];
  /** What lies in it, as long as it is small. */
  kept: PlainBlock[] | undefined;
};

/**
 * Collects blocks into packs and puts them. A chunk is in the index once its pack is durable, read back and compared; until then it is
 * pending, and counts as known.
 */
export class PackWriter {
  readonly #options: PackWriterOptions;
  readonly #targetBytes: number;
  readonly #pending = new Set<string>();
  readonly #spare: Uint8Array[] = [];
  readonly #uploads = new Set<Promise<void>>();
  #open: OpenPack | undefined;
  #failure: { readonly error: unknown } | undefined;
  /** Numbers (in the index) of the packs that this writer made. */
  readonly written: number[] = [];
  storedBytes = 0;

  constructor(options: PackWriterOptions) {
    this.#options = options;
    this.#targetBytes = Math.min(PACK_TARGET_BYTES, PACK_TARGET_CHUNKS * options.header.chunks.maxBytes);
  }

  /** The chunk will come in a block. False where it is on its way already. */
  expect(id: Uint8Array): boolean {
    const before = this.#pending.size;
    this.#pending.add(pendingKey(id));
    return this.#pending.size > before;
  }

  /** Appends a block. Waits while too many packs are on their way. @throws what an upload failed with */
  async add(block: PlainBlock, run: Run): Promise<void> {
    const pack = (this.#open ??= this.#newPack());
    makeRoom(pack, block.plain.byteLength + BLOCK_SEAL_BYTES);
    const sealedBytes = sealBlockInto(pack.secret, pack.blocks.length, block.plain, pack.buffer.subarray(pack.size));
    const { kind } = this.#options;
    pack.blocks.push({
      offset: pack.size,
      sealedBytes,
      chunks: block.chunks.map(({ id, sizeBytes }) => ({ kind, id, sizeBytes })),
    });
    pack.size += sealedBytes;
    this.storedBytes += sealedBytes;
    pack.chunks += block.chunks.length;
    if (this.#options.small?.isSmall(pack.size) === true) pack.kept?.push(keepBlock(block));
    else pack.kept = undefined;
    if (pack.size >= this.#targetBytes || pack.chunks >= PACK_MOST_CHUNKS) await this.#close(run);
  }

  /** Resolves once everything is durable and in the index. */
  async flush(run: Run): Promise<void> {
    await this.#close(run);
    await Promise.all(this.#uploads);
    this.#rethrow();
  }

  /** Waits for what is under way, whatever becomes of it. */
  async settle(): Promise<void> {
    await Promise.allSettled(this.#uploads);
  }

  #newPack(): OpenPack {
    const { random, header, credential } = this.#options;
    const owner = { repository: fromHex(header.id), writer: fromHex(credential.id) };
    const secret: PackSecret = { owner, salt: random(16), key: random(32) };
    const buffer = this.#spare.pop() ?? new Uint8Array(Math.ceil(this.#targetBytes * (1 + LAST_BLOCK_PART)));
    buffer.set(packHeader(secret, header.contentKey, random(32)));
    return { secret, buffer, size: PACK_HEADER_BYTES, chunks: 0, blocks: [], kept: [] };
  }

  async #close(run: Run): Promise<void> {
    this.#rethrow();
    const pack = this.#open;
    this.#open = undefined;
    if (pack === undefined) return;
    while (this.#uploads.size >= this.#options.uploads) await Promise.race(this.#uploads);
    this.#rethrow();
    const upload = this.#upload(pack, run)
      .catch((error: unknown) => {
        this.#failure ??= { error };
      })
      .finally(() => {
        this.#uploads.delete(upload);
        this.#spare.push(pack.buffer);
      });
    this.#uploads.add(upload);
  }

  async #upload(pack: OpenPack, run: Run): Promise<void> {
    const { objects, credential, index } = this.#options;
    this.#proveOne(pack);
    const end = packEnd(pack.secret, credential.keys.idKey, pack.blocks);
    const parts = [pack.buffer.subarray(0, pack.size), end];
    const packId = packIdOf(pack.buffer.subarray(0, PACK_HEADER_BYTES), end);
    const key = packKey(credential.id, packId);
    await objects.create(key, parts, run);
    if (!objects.capabilities.provesDigest) await compareStored(objects, key, parts, run);
    const number = index.addPack(packId);
    this.written.push(number);
    for (const block of pack.blocks) {
      let offset = 0;
      for (const chunk of block.chunks) {
        index.add(chunk.id, {
          pack: number,
          blockOffset: block.offset,
          blockBytes: block.sealedBytes,
          offset,
          sizeBytes: chunk.sizeBytes,
        });
        this.#pending.delete(pendingKey(chunk.id));
        offset += chunk.sizeBytes;
      }
    }
    const { small, kind } = this.#options;
    if (pack.kept !== undefined) small?.add({ id: toHex(packId), kind, blocks: pack.kept, sizeBytes: pack.size });
  }

  /** Opens one block of the pack again, while its key is in memory: what can't be opened now never will be. */
  #proveOne(pack: OpenPack): void {
    const number = pack.blocks.length >> 1;
    const block = pack.blocks[number];
    if (block === undefined) return;
    const sealed = pack.buffer.subarray(block.offset, block.offset + block.sealedBytes);
    const what = 'a pack that was just made';
    const bytes = openBlock(unsealBlock({ secret: pack.secret, number, sealed, what }));
    const expected = block.chunks.reduce((sum, chunk) => sum + chunk.sizeBytes, 0);
    if (bytes.byteLength !== expected) {
      throw new TidemarkError('BUG', `a block of ${expected} bytes opens to ${bytes.byteLength}`);
    }
  }

  #rethrow(): void {
    if (this.#failure !== undefined) throw this.#failure.error;
  }
}

function makeRoom(pack: OpenPack, sizeBytes: number): void {
  if (pack.buffer.byteLength - pack.size >= sizeBytes) return;
  const larger = new Uint8Array(pack.size + 2 * sizeBytes);
  larger.set(pack.buffer.subarray(0, pack.size));
  pack.buffer = larger;
}

function pendingKey(id: Uint8Array): string {
  return Buffer.from(id.buffer, id.byteOffset, id.byteLength).toString('latin1');
}
