import { ByteBuilder } from './byte-builder.ts';
import { ByteCursor, damaged } from './byte-cursor.ts';
import { BOX_OVERHEAD_BYTES, derive, openableBy, openBox, seal, sealInto, sha256, unseal } from './crypto.ts';
import type { KeyPair } from './crypto.ts';

const MAGIC = 'TMPK';
const TRAILER_MAGIC = 'KPMT';
const SALT_BYTES = 16;
const KEY_BYTES = 32;
const ID_BYTES = 32;

export const PACK_HEADER_BYTES = 4 + 4 + SALT_BYTES + KEY_BYTES + BOX_OVERHEAD_BYTES;
export const PACK_TRAILER_BYTES = 8;
/** What sealing adds to a block's plain. */
export const BLOCK_SEAL_BYTES = 16;
export const MAX_PACK_BYTES = 128 * 1024 * 1024;
/** The largest `plainBytes` of a block. */
export const MAX_BLOCK_BYTES = 16 * 1024 * 1024;
export const MAX_PACK_CHUNKS = 524_288;

/** Whose pack it is; ids as raw bytes (16 each). */
export type PackOwner = { readonly repository: Uint8Array; readonly writer: Uint8Array };

/** Enough to seal or open the blocks of one pack. */
export type PackSecret = { readonly owner: PackOwner; readonly salt: Uint8Array; readonly key: Uint8Array };

export type ChunkKind = 'content' | 'node';

export type DirectoryBlock = {
  readonly sealedBytes: number;
  readonly chunks: readonly { readonly kind: ChunkKind; readonly id: Uint8Array; readonly sizeBytes: number }[];
};

/** The first bytes of a pack. `key`, `salt` and `ephemeralSeed` are fresh random bytes (32, 16, 32). */
export function packHeader(secret: PackSecret, contentKey: Uint8Array, ephemeralSeed: Uint8Array): Uint8Array {
  const keyBox = openableBy({
    publicKey: contentKey,
    info: 'pack key',
    aad: Buffer.concat([secret.owner.repository, secret.owner.writer, secret.salt]),
    plain: [secret.key],
    ephemeralSeed,
  });
  return new ByteBuilder(PACK_HEADER_BYTES).text(MAGIC).u32(0).bytes(secret.salt).bytes(keyBox).take();
}

/** @throws REPOSITORY_DAMAGED */
export function packSalt(header: Uint8Array, what: string): Uint8Array {
  const cursor = new ByteCursor(header, what);
  cursor.expectMagic(MAGIC, 0);
  cursor.bytes(3);
  return cursor.bytes(SALT_BYTES);
}

/** Opens a pack's header with the reader's content key. @throws REPOSITORY_DAMAGED */
export function openPackHeader(options: {
  header: Uint8Array;
  owner: PackOwner;
  content: KeyPair;
  what: string;
}): PackSecret {
  const { owner, what } = options;
  const salt = packSalt(options.header, what);
  const key = openBox({
    pair: options.content,
    info: 'pack key',
    aad: Buffer.concat([owner.repository, owner.writer, salt]),
    box: options.header.subarray(8 + SALT_BYTES, PACK_HEADER_BYTES),
    what,
  });
  if (key.byteLength !== KEY_BYTES) throw damaged(what, 'its key has the wrong size');
  return { owner, salt: new Uint8Array(salt), key };
}

function blockNonce(number: number): Uint8Array {
  const nonce = Buffer.alloc(12);
  nonce.writeUInt32LE(number, 0);
  return nonce;
}

function blockAad(secret: PackSecret, number: number): Uint8Array {
  return new ByteBuilder(80)
    .text('tidemark block')
    .bytes(secret.owner.repository)
    .bytes(secret.owner.writer)
    .bytes(secret.salt)
    .u32(number)
    .take();
}

/** Seals block `number` of a pack into `into`; each number once. Returns the sealed size. */
export function sealBlockInto(secret: PackSecret, number: number, plain: Uint8Array, into: Uint8Array): number {
  return sealInto(into, [plain], { key: secret.key, nonce: blockNonce(number), aad: blockAad(secret, number) });
}

/** @throws REPOSITORY_DAMAGED */
export function unsealBlock(options: {
  secret: PackSecret;
  number: number;
  sealed: Uint8Array;
  what: string;
}): Uint8Array {
  const { secret, number, sealed, what } = options;
  return unseal({ key: secret.key, nonce: blockNonce(number), aad: blockAad(secret, number), sealed, what });
}

function directoryAad(owner: PackOwner): Uint8Array {
  return Buffer.concat([Buffer.from('tidemark directory'), owner.repository, owner.writer]);
}

function directoryKey(idKey: Uint8Array, salt: Uint8Array): Uint8Array {
  return derive(idKey, salt, 'tidemark directory', KEY_BYTES);
}

/** The end of a pack: its sealed directory and the trailer. */
export function packEnd(secret: PackSecret, idKey: Uint8Array, blocks: readonly DirectoryBlock[]): Uint8Array {
  const plain = new ByteBuilder(64 * 1024).varint(blocks.length);
  for (const block of blocks) {
    plain.varint(block.sealedBytes).varint(block.chunks.length);
    for (const chunk of block.chunks) {
      plain
        .u8(chunk.kind === 'node' ? 1 : 0)
        .bytes(chunk.id)
        .varint(chunk.sizeBytes);
    }
  }
  const sealed = seal({ key: directoryKey(idKey, secret.salt), aad: directoryAad(secret.owner), plain: plain.take() });
  return new ByteBuilder(sealed.byteLength + PACK_TRAILER_BYTES)
    .bytes(sealed)
    .u32(sealed.byteLength)
    .text(TRAILER_MAGIC)
    .take();
}

/** A pack's id: it stands for the directory, and so, by the seals and ids in it, for every byte. `end`: directory and trailer. */
export function packIdOf(header: Uint8Array, end: Uint8Array): Uint8Array {
  return sha256(header, end);
}

/** Size of the sealed directory, from the last 8 bytes of a pack of `packBytes`. @throws REPOSITORY_DAMAGED */
export function directorySize(trailer: Uint8Array, packBytes: number, what: string): number {
  const cursor = new ByteCursor(trailer, what);
  const sizeBytes = cursor.u32();
  if (Buffer.from(cursor.bytes(4)).toString('latin1') !== TRAILER_MAGIC) cursor.fail('it does not end as it must');
  if (sizeBytes > packBytes - PACK_HEADER_BYTES - PACK_TRAILER_BYTES) cursor.fail('its directory is larger than it');
  return sizeBytes;
}

/** The plain of a directory, by the id key of the pack's writer. @throws REPOSITORY_DAMAGED */
export function unsealDirectory(options: {
  sealed: Uint8Array;
  header: Uint8Array;
  owner: PackOwner;
  idKey: Uint8Array;
  what: string;
}): Uint8Array {
  const { what } = options;
  return unseal({
    key: directoryKey(options.idKey, packSalt(options.header, what)),
    aad: directoryAad(options.owner),
    sealed: options.sealed,
    what,
  });
}

/** Opens a directory with the id key of the pack's writer. @throws REPOSITORY_DAMAGED */
export function openDirectory(options: Parameters<typeof unsealDirectory>[0]): readonly DirectoryBlock[] {
  const { what } = options;
  const plain = unsealDirectory(options);
  const cursor = new ByteCursor(plain, what);
  const blocks: DirectoryBlock[] = [];
  for (let count = cursor.varint(); count > 0; count--) {
    const sealedBytes = cursor.varint();
    const chunks: { kind: ChunkKind; id: Uint8Array; sizeBytes: number }[] = [];
    for (let left = cursor.varint(); left > 0; left--) {
      const mark = cursor.u8();
      if (mark > 1) cursor.fail('a chunk in it is of no known kind');
      const kind = mark === 1 ? 'node' : 'content';
      chunks.push({ kind, id: new Uint8Array(cursor.bytes(ID_BYTES)), sizeBytes: cursor.varint() });
    }
    if (chunks.length === 0) cursor.fail('a block in it has no chunk');
    blocks.push({ sealedBytes, chunks });
  }
  cursor.expectEnd();
  return blocks;
}
