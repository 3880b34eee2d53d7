/**
 * The repository format once more, written from docs/repository-format.md and nothing of src/: what the tests of the kit make repositories
 * with. It writes only, and takes everything random as an argument.
 */
import {
  argon2Sync,
  createCipheriv,
  createHash,
  createHmac,
  createPrivateKey,
  createPublicKey,
  diffieHellman,
  hkdfSync,
  sign,
} from 'node:crypto';
import type { KeyObject } from 'node:crypto';

export type Part = Uint8Array | string;
export type Json = string | number | boolean | null | readonly Json[] | { readonly [key: string]: Json | undefined };

export function joined(...parts: readonly Part[]): Buffer {
  return Buffer.concat(parts.map((part) => (typeof part === 'string' ? Buffer.from(part) : part)));
}

export function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

export function varint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value;
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) + 128);
  return Buffer.from([...bytes, rest]);
}

export function sha256(...parts: readonly Part[]): Buffer {
  return createHash('sha256')
    .update(joined(...parts))
    .digest();
}

export function hkdf(key: Uint8Array, salt: Part, info: string, sizeBytes: number): Buffer {
  return Buffer.from(hkdfSync('sha256', key, salt, info, sizeBytes));
}

export function gcm(key: Uint8Array, nonce: Uint8Array, aad: Uint8Array, plain: Uint8Array): Buffer {
  const cipher = createCipheriv('aes-256-gcm', key, nonce);
  cipher.setAAD(aad);
  return Buffer.concat([cipher.update(plain), cipher.final(), cipher.getAuthTag()]);
}

export const ZERO_NONCE = Buffer.alloc(12);

function privateKey(algorithm: 'ed25519' | 'x25519', seed: Uint8Array): KeyObject {
  const identifier = algorithm === 'ed25519' ? 0x70 : 0x6e;
  const der = joined(Buffer.from([0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, identifier, 4, 0x22, 4, 0x20]), seed);
  return createPrivateKey({ key: der, format: 'der', type: 'pkcs8' });
}

export function publicHalf(algorithm: 'ed25519' | 'x25519', seed: Uint8Array): Buffer {
  return createPublicKey(privateKey(algorithm, seed)).export({ format: 'der', type: 'spki' }).subarray(-32);
}

export function signature(seed: Uint8Array, message: Uint8Array): Buffer {
  return sign(null, message, privateKey('ed25519', seed));
}

export type BoxOptions = {
  readonly publicKey: Uint8Array;
  readonly info: string;
  readonly aad: Uint8Array;
  readonly plain: Uint8Array;
  readonly ephemeralSeed: Uint8Array;
};

export function box({ publicKey, info, aad, plain, ephemeralSeed }: BoxOptions): Buffer {
  const ephemeral = publicHalf('x25519', ephemeralSeed);
  const der = joined(Buffer.from([0x30, 0x2a, 0x30, 5, 6, 3, 0x2b, 0x65, 0x6e, 3, 0x21, 0]), publicKey);
  const theirs = createPublicKey({ key: der, format: 'der', type: 'spki' });
  const shared = diffieHellman({ privateKey: privateKey('x25519', ephemeralSeed), publicKey: theirs });
  const key = hkdf(shared, joined(ephemeral, publicKey), `tidemark box ${info}`, 32);
  return joined(ephemeral, gcm(key, ZERO_NONCE, aad, plain));
}

/** An object with its signature at the end; white space and order are the caller's to spoil. */
export function signedJson(label: string, fields: { readonly [key: string]: Json }, seed: Uint8Array): Buffer {
  const made = signature(seed, joined(`tidemark ${label}\n`, JSON.stringify(fields)));
  return Buffer.from(JSON.stringify({ ...fields, signature: made.toString('base64') }));
}

export type KdfCost = { readonly memoryKiB: number; readonly passes: number; readonly parallelism: number };

export type SlotOptions = {
  readonly repository: string;
  readonly id: string;
  readonly role: string;
  readonly passphrase: string;
  readonly cost: KdfCost;
  readonly salt: Uint8Array;
  readonly nonce: Uint8Array;
  readonly keyring: Json;
};

export function keySlot({ repository, id, role, passphrase, cost, salt, nonce, keyring }: SlotOptions): Buffer {
  const { memoryKiB, passes, parallelism } = cost;
  const message = Buffer.from(passphrase.normalize('NFC'));
  const key = argon2Sync('argon2id', { message, nonce: salt, memory: memoryKiB, passes, parallelism, tagLength: 32 });
  const aad = Buffer.from(`tidemark key slot\n${repository}\n${id}\n${role}`);
  const sealed = gcm(key, nonce, aad, Buffer.from(JSON.stringify(keyring))).toString('base64');
  const kdf = { name: 'argon2id', ...cost, salt: Buffer.from(salt).toString('base64') };
  const slot = { version: 0, id, kind: 'passphrase', role, name: 'made by hand', createdAtMs: 1, kdf };
  return Buffer.from(JSON.stringify({ ...slot, nonce: Buffer.from(nonce).toString('base64'), sealed }));
}

/** A writer's keys. */
export function derivedKeys(idKey: Uint8Array) {
  return {
    chunkKey: hkdf(idKey, '', 'tidemark chunk id', 32),
    nodeKey: hkdf(idKey, '', 'tidemark node id', 32),
    gear: hkdf(idKey, '', 'tidemark gear', 1024),
  };
}

export type Kind = 'content' | 'node';

export function chunkId(idKey: Uint8Array, kind: Kind, plain: Uint8Array): Buffer {
  const { chunkKey, nodeKey } = derivedKeys(idKey);
  return createHmac('sha256', kind === 'node' ? nodeKey : chunkKey)
    .update(plain)
    .digest();
}

/** A zstd frame of up to 255 bytes by RFC 8878: one block, of type RLE where all bytes are equal, else raw. */
export function zstdFrame(plain: Uint8Array): Buffer {
  const isRun = plain.length > 1 && plain.every((byte) => byte === plain[0]);
  const blockHeader = u32(1 + (isRun ? 2 : 0) + plain.length * 8).subarray(0, 3);
  const head = Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0x20, plain.length]);
  return joined(head, blockHeader, isRun ? plain.subarray(0, 1) : plain);
}

export type Chunk = { readonly kind: Kind; readonly plain: Uint8Array; readonly id?: Uint8Array | undefined };
export type Block = { readonly compressed?: boolean | undefined; readonly chunks: readonly Chunk[] };

export type PackOptions = {
  readonly repository: Uint8Array;
  readonly writer: Uint8Array;
  readonly idKey: Uint8Array;
  readonly contentKey: Uint8Array;
  readonly salt: Uint8Array;
  readonly packKey: Uint8Array;
  readonly ephemeralSeed: Uint8Array;
  readonly blocks: readonly Block[];
};

/** A pack with its id. */
export function pack({ repository, writer, idKey, salt, packKey, blocks, ...rest }: PackOptions): {
  readonly id: Buffer;
  readonly bytes: Buffer;
} {
  const owner = joined(repository, writer);
  const { contentKey: publicKey, ephemeralSeed } = rest;
  const keyBox = box({ publicKey, info: 'pack key', aad: joined(owner, salt), plain: packKey, ephemeralSeed });
  const directory: Buffer[] = [varint(blocks.length)];
  const sealed = blocks.map(({ compressed, chunks }, number) => {
    const content = joined(...chunks.map(({ plain }) => plain));
    const payload = compressed === true ? zstdFrame(content) : content;
    const plain = joined(Buffer.from([compressed === true ? 1 : 0]), u32(content.length), payload);
    const aad = joined('tidemark block', owner, salt, u32(number));
    const block = gcm(packKey, joined(u32(number), Buffer.alloc(8)), aad, plain);
    directory.push(varint(block.length), varint(chunks.length));
    for (const chunk of chunks) {
      const id = chunk.id ?? chunkId(idKey, chunk.kind, chunk.plain);
      directory.push(Buffer.from([chunk.kind === 'node' ? 1 : 0]), Buffer.from(id), varint(chunk.plain.length));
    }
    return block;
  });
  const directoryKey = hkdf(idKey, salt, 'tidemark directory', 32);
  const end = gcm(directoryKey, ZERO_NONCE, joined('tidemark directory', owner), joined(...directory));
  const header = joined('TMPK', Buffer.alloc(4), salt, keyBox);
  const trailer = joined(end, u32(end.length), 'KPMT');
  return { id: sha256(header, trailer), bytes: joined(header, ...sealed, trailer) };
}

export type ContentPart = { readonly id: Uint8Array; readonly bytes: number };
/** `depth`: the content is the one list `parts[0]`. */
export type Content = { readonly parts: readonly ContentPart[]; readonly depth?: number | undefined };
export type Leaf = {
  readonly name: Uint8Array;
  readonly attributes: Uint8Array;
  readonly content?: Content | undefined;
};
export type Inner = {
  readonly name: Uint8Array;
  readonly id: Uint8Array;
  readonly entries: number;
  readonly bytes: number;
};

export function contentBytes({ parts }: Content): number {
  return parts.reduce((sum, { bytes }) => sum + bytes, 0);
}

function writtenContent(content: Content | undefined): Buffer {
  if (content === undefined) return varint(0);
  const parts = content.parts.map(({ id, bytes }) => joined(id, varint(bytes)));
  if (content.depth === undefined) return joined(varint(1), varint(parts.length), ...parts);
  const [only] = content.parts;
  return joined(varint(2), varint(content.depth), varint(only?.bytes ?? 0), only?.id ?? '');
}

export function node(level: number, items: readonly (Leaf | Inner)[]): Buffer {
  let last: Uint8Array = Buffer.alloc(0);
  const written = items.map((item, index) => {
    const limit = index === 0 ? 0 : Math.min(last.length, item.name.length);
    let shared = 0;
    while (shared < limit && last[shared] === item.name[shared]) shared += 1;
    last = item.name;
    const name = joined(varint(shared), varint(item.name.length - shared), item.name.subarray(shared));
    if ('id' in item) return joined(name, item.id, varint(item.entries), varint(item.bytes));
    return joined(name, varint(item.attributes.length), item.attributes, writtenContent(item.content));
  });
  return joined(Buffer.from([level]), varint(items.length), ...written);
}

export function list(depth: number, parts: readonly ContentPart[]): Buffer {
  const items = parts.map(({ id, bytes }) => joined(id, varint(bytes)));
  return joined(Buffer.from([0x80]), varint(depth), varint(parts.length), ...items);
}

export type Change =
  | { readonly name: Uint8Array; readonly removed: true }
  | { readonly name: Uint8Array; readonly attributes: Uint8Array; readonly content?: Content | undefined };
export type Commit = { readonly order: string; readonly resume: string; readonly atMs: number };
export type Piece = { readonly changes: readonly Change[]; readonly commit?: Commit | undefined };

function text(value: string): Buffer {
  const bytes = Buffer.from(value);
  return joined(varint(bytes.length), bytes);
}

export function payload(lineage: string, order: string, pieces: readonly Piece[]): Buffer {
  const written = pieces.map(({ changes, commit }) => {
    const each = changes.map((change) => {
      const isGone = 'removed' in change;
      const name = joined(Buffer.from([isGone ? 0 : 1]), varint(change.name.length), change.name);
      if (isGone) return name;
      return joined(name, varint(change.attributes.length), change.attributes, writtenContent(change.content));
    });
    const end =
      commit === undefined
        ? Buffer.from([0])
        : joined(Buffer.from([1]), text(commit.order), text(commit.resume), varint(commit.atMs));
    return joined(varint(changes.length), ...each, end);
  });
  return joined(text(lineage), text(order), ...written);
}

export type FrameOptions = {
  readonly repository: Uint8Array;
  readonly credential: Uint8Array;
  readonly history: string;
  readonly contentKey: Uint8Array;
  readonly ephemeralSeed: Uint8Array;
  readonly payload: Uint8Array;
  readonly compressed?: boolean | undefined;
};

export function frame(options: FrameOptions): Buffer {
  const { repository, credential, history, contentKey: publicKey, ephemeralSeed, compressed = false } = options;
  const aad = joined('tidemark frame', repository, credential, history);
  const stored = compressed ? zstdFrame(options.payload) : options.payload;
  const plain = joined(Buffer.from([compressed ? 1 : 0]), u32(options.payload.length), stored);
  const sealed = box({ publicKey, info: 'frame', aad, plain, ephemeralSeed });
  return joined(u32(sealed.length), sealed);
}

export type SectionName = 'plain' | 'maintenance' | 'content' | 'writer' | 'frames';
/** `packed`: as a zstd frame, which takes up to 255 bytes here, with `trailing` after it, or the frame to be put in the place of the JSON. */
export type Section =
  | {
      readonly name: Exclude<SectionName, 'frames'>;
      readonly value: Json;
      readonly packed?: boolean | Uint8Array | undefined;
      readonly trailing?: Uint8Array | undefined;
    }
  | { readonly name: 'frames'; readonly bytes: Uint8Array };

export type RecordOptions = {
  readonly header: { readonly [key: string]: Json };
  readonly sections: readonly Section[];
  readonly signingSeed: Uint8Array;
  readonly contentKey: Uint8Array;
  readonly maintenanceKey: Uint8Array;
  readonly idKey: Uint8Array;
  /** One for each section. */
  readonly ephemeralSeeds: readonly Uint8Array[];
};

export function record(options: RecordOptions): Buffer {
  const header = Buffer.from(JSON.stringify({ ...options.header, sections: options.sections.map(({ name }) => name) }));
  const aad = sha256(header);
  const sections = options.sections.map((section, index) => {
    const ephemeralSeed = options.ephemeralSeeds[index] ?? aad;
    const closed =
      section.name === 'frames' ? section.bytes : sealedSection(section, { ...options, aad, ephemeralSeed });
    return joined(u32(closed.length), closed);
  });
  const signed = joined(
    'TMRC',
    Buffer.alloc(1),
    u32(header.length),
    header,
    Buffer.from([sections.length]),
    ...sections,
  );
  return joined(signed, signature(options.signingSeed, joined('tidemark record\n', signed)));
}

type Sealing = Pick<RecordOptions, 'contentKey' | 'maintenanceKey' | 'idKey'> & {
  readonly aad: Uint8Array;
  readonly ephemeralSeed: Uint8Array;
};

function sealedSection(
  { name, value, packed, trailing = Buffer.alloc(0) }: Exclude<Section, { name: 'frames' }>,
  { aad, ephemeralSeed, idKey, ...keys }: Sealing,
): Buffer {
  const json = Buffer.from(JSON.stringify(value));
  const frame = packed === true ? joined(zstdFrame(json), trailing) : packed;
  const plain = frame instanceof Uint8Array ? Buffer.from(frame) : json;
  if (name === 'plain') return plain;
  if (name === 'writer') return gcm(hkdf(idKey, aad, 'tidemark writer section', 32), ZERO_NONCE, aad, plain);
  const publicKey = name === 'content' ? keys.contentKey : keys.maintenanceKey;
  return box({ publicKey, info: 'record', aad, plain, ephemeralSeed });
}

export type AttributeOptions = {
  readonly type: 'file' | 'folder' | 'link';
  readonly mode?: number | undefined;
  readonly uid?: number | undefined;
  readonly gid?: number | undefined;
  readonly seconds?: bigint | undefined;
  readonly nanoseconds?: number | undefined;
  readonly size?: number | undefined;
  readonly target?: Part | undefined;
  readonly inode?: bigint | undefined;
  readonly xattrs?: readonly (readonly [Part, Part])[] | undefined;
  /** Offsets and sizes. */
  readonly runs?: readonly (readonly [number, number])[] | undefined;
};

/** By docs/formats/files-attributes.md. */
export function attributes(options: AttributeOptions): Buffer {
  const { type, mode = 0o644, uid = 0, gid = 0, seconds = 0n, nanoseconds = 0, size = 0 } = options;
  const time = Buffer.alloc(8);
  time.writeBigInt64LE(seconds);
  const field = (tag: number, value: Buffer): Buffer => joined(Buffer.from([tag]), varint(value.length), value);
  const fields: Buffer[] = [];
  if (options.target !== undefined) fields.push(field(1, joined(options.target)));
  if (options.inode !== undefined) {
    const group = Buffer.alloc(16);
    group.writeBigUInt64LE(options.inode, 8);
    fields.push(field(2, joined(group, varint(2))));
  }
  for (const [name, value] of options.xattrs ?? []) {
    const bytes = joined(name);
    fields.push(field(3, joined(varint(bytes.length), bytes, value)));
  }
  if (options.runs !== undefined) {
    let end = 0;
    const pairs = options.runs.map(([offset, bytes]) => {
      const pair = joined(varint(offset - end), varint(bytes));
      end = offset + bytes;
      return pair;
    });
    fields.push(field(4, joined(...pairs)));
  }
  const kind = Buffer.from([1, ['file', 'folder', 'link'].indexOf(type)]);
  return joined(kind, varint(mode), varint(uid), varint(gid), time, u32(nanoseconds), varint(size), ...fields);
}
