import { createCipheriv } from 'node:crypto';
import { toHex } from '../../core/bytes.ts';
import { assume } from '../../core/must.ts';
import { damaged } from './byte-cursor.ts';
import { derive, unseal } from './crypto.ts';
import { counterText } from './names.ts';
import { BLOCK_SEAL_BYTES, MAX_BLOCK_BYTES, MAX_PACK_BYTES, PACK_HEADER_BYTES } from './pack.ts';

/** Bytes of one record: id (32), then pack, blockOffset, blockBytes, offset, sizeBytes as little-endian u32. */
export const INDEX_RECORD_BYTES = 52;
/** The most records that one index object holds. */
export const MAX_INDEX_RECORDS = 262_144;
export const CHUNK_ID_BYTES = 32;
export const PACK_ID_BYTES = 32;

/** Where the numbers of a record lie within it. */
export const recordField = { pack: 32, blockOffset: 36, blockBytes: 40, offset: 44, sizeBytes: 48 } as const;

const MAGIC = 0x58494d54;
const SALT_BYTES = 16;
const SESSION_BYTES = 16;
const FIXED_HEADER_BYTES = 8 + SALT_BYTES + 4;
const REPLACED_BYTES = SESSION_BYTES + 4;
const MAX_REPLACED = 65_536;
const BODY_HEADER_BYTES = 8;
const TAG_BYTES = 16;
const ZERO_NONCE = Buffer.alloc(12);
const BLOCK_HEADER_BYTES = 5;
const MIN_BLOCK_BYTES = BLOCK_HEADER_BYTES + BLOCK_SEAL_BYTES;

/** No index object is longer; a longer one is damaged and need not be read. */
export const MAX_INDEX_OBJECT_BYTES =
  FIXED_HEADER_BYTES +
  MAX_REPLACED * REPLACED_BYTES +
  BODY_HEADER_BYTES +
  MAX_INDEX_RECORDS * (PACK_ID_BYTES + INDEX_RECORD_BYTES) +
  TAG_BYTES;

/** Names an index object of a writer: the session (32 hex digits) and the object's number in it. */
export type IndexObjectName = { readonly session: string; readonly number: number };

/**
 * What an index object says. `packs`: ids one after another. `records`: `INDEX_RECORD_BYTES` each, ascending by id;
 * `pack` counts into `packs`. The same id may come several times, with different places.
 */
export type IndexObject = {
  readonly replaces: readonly IndexObjectName[];
  readonly packs: Uint8Array;
  readonly records: Uint8Array;
};

/** `SESSION-NNNNNNNN`, the last part of the key. */
export function formatIndexObjectName(name: IndexObjectName): string {
  return `${name.session}-${counterText(name.number)}`;
}

/** Undefined for what is not the name of an index object. */
export function parseIndexObjectName(text: string): IndexObjectName | undefined {
  if (!/^[0-9a-f]{32}-[0-9a-f]{8}$/.test(text)) return undefined;
  return { session: text.slice(0, 32), number: Number.parseInt(text.slice(33), 16) };
}

/** `salt`: 16 fresh random bytes. @throws BugError for what the format can't hold. */
export function sealIndexObject(object: IndexObject, idKey: Uint8Array, salt: Uint8Array): readonly Uint8Array[] {
  const packCount = object.packs.byteLength / PACK_ID_BYTES;
  const recordCount = object.records.byteLength / INDEX_RECORD_BYTES;
  assume(salt.byteLength === SALT_BYTES, 'a salt of 16 bytes');
  assume(Number.isInteger(packCount) && Number.isInteger(recordCount), 'whole pack ids and records');
  assume(recordCount <= MAX_INDEX_RECORDS && packCount <= MAX_INDEX_RECORDS, 'no more than an index object holds');
  assume(object.replaces.length <= MAX_REPLACED, 'no more replaced objects than an index object names');
  const header = encodeHeader(object.replaces, salt);
  const counts = Buffer.alloc(BODY_HEADER_BYTES);
  counts.writeUInt32LE(packCount, 0);
  counts.writeUInt32LE(recordCount, 4);
  // Sealed part by part: together they are several times as large as anything else that is sealed.
  const cipher = createCipheriv('aes-256-gcm', indexKeyOf(idKey, salt), ZERO_NONCE);
  cipher.setAAD(header);
  const body = [counts, object.packs, object.records].map((part) => cipher.update(part));
  return [header, ...body, cipher.final(), cipher.getAuthTag()];
}

/**
 * Checks every bound and the order of the records, so that what it returns can be used without further checks. `what`
 * names the object in errors. @throws REPOSITORY_DAMAGED
 */
export function openIndexObject(options: {
  readonly bytes: Uint8Array;
  readonly idKey: Uint8Array;
  readonly what: string;
}): IndexObject {
  const { bytes, idKey, what } = options;
  const { replaces, headerBytes, salt } = decodeHeader(bytes, what);
  const aad = bytes.subarray(0, headerBytes);
  const plain = unseal({ key: indexKeyOf(idKey, salt), aad, sealed: bytes.subarray(headerBytes), what });
  const body = Buffer.from(plain.buffer, plain.byteOffset, plain.byteLength);
  if (body.byteLength < BODY_HEADER_BYTES) throw damaged(what, 'it is too short');
  const packCount = body.readUInt32LE(0);
  const recordCount = body.readUInt32LE(4);
  if (recordCount > MAX_INDEX_RECORDS) throw damaged(what, 'it has too many records');
  if (packCount > MAX_INDEX_RECORDS) throw damaged(what, 'it has too many packs');
  const packsEnd = BODY_HEADER_BYTES + packCount * PACK_ID_BYTES;
  if (body.byteLength !== packsEnd + recordCount * INDEX_RECORD_BYTES) {
    throw damaged(what, 'its length does not fit its counts');
  }
  const records = body.subarray(packsEnd);
  const fault = findFault(records, packCount);
  if (fault !== undefined) throw damaged(what, fault);
  return { replaces, packs: body.subarray(BODY_HEADER_BYTES, packsEnd), records };
}

/**
 * Which objects this one contains, by its own word: whoever has no id key can't check it. @throws REPOSITORY_DAMAGED
 */
export function readReplaces(bytes: Uint8Array, what: string): readonly IndexObjectName[] {
  return decodeHeader(bytes, what).replaces;
}

function encodeHeader(replaces: readonly IndexObjectName[], salt: Uint8Array): Buffer {
  const header = Buffer.alloc(FIXED_HEADER_BYTES + replaces.length * REPLACED_BYTES);
  header.writeUInt32LE(MAGIC, 0);
  header.set(salt, 8);
  header.writeUInt32LE(replaces.length, 8 + SALT_BYTES);
  let at = FIXED_HEADER_BYTES;
  for (const { session, number } of replaces) {
    assume(header.write(session, at, 'hex') === SESSION_BYTES, 'a session id of 32 hexadecimal digits');
    header.writeUInt32LE(number, at + SESSION_BYTES);
    at += REPLACED_BYTES;
  }
  return header;
}

function decodeHeader(
  bytes: Uint8Array,
  what: string,
): { replaces: IndexObjectName[]; headerBytes: number; salt: Uint8Array } {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (buffer.byteLength < FIXED_HEADER_BYTES) throw damaged(what, 'it is too short');
  if (buffer.readUInt32LE(0) !== MAGIC) throw damaged(what, 'it does not begin as it must');
  const version = buffer.readUInt8(4);
  if (version !== 0) {
    throw damaged(what, `it claims to be of version ${version}`);
  }
  if (buffer.readUIntLE(5, 3) !== 0) throw damaged(what, 'bytes are set that must be zero');
  const count = buffer.readUInt32LE(8 + SALT_BYTES);
  const headerBytes = FIXED_HEADER_BYTES + count * REPLACED_BYTES;
  if (count > MAX_REPLACED || headerBytes > buffer.byteLength) {
    throw damaged(what, 'it names more objects than it has room for');
  }
  const replaces: IndexObjectName[] = [];
  for (let at = FIXED_HEADER_BYTES; at < headerBytes; at += REPLACED_BYTES) {
    const session = toHex(buffer.subarray(at, at + SESSION_BYTES));
    replaces.push({ session, number: buffer.readUInt32LE(at + SESSION_BYTES) });
  }
  return { replaces, headerBytes, salt: buffer.subarray(8, 8 + SALT_BYTES) };
}

/** What is wrong with the records, or undefined. */
function findFault(records: Buffer, packCount: number): string | undefined {
  for (let at = 0; at < records.byteLength; at += INDEX_RECORD_BYTES) {
    const blockOffset = records.readUInt32LE(at + recordField.blockOffset);
    const blockBytes = records.readUInt32LE(at + recordField.blockBytes);
    const end = records.readUInt32LE(at + recordField.offset) + records.readUInt32LE(at + recordField.sizeBytes);
    if (records.readUInt32LE(at + recordField.pack) >= packCount) return 'a record names no pack';
    if (blockOffset < PACK_HEADER_BYTES || blockBytes < MIN_BLOCK_BYTES || blockOffset + blockBytes > MAX_PACK_BYTES) {
      return 'a block lies outside of its pack';
    }
    if (end > MAX_BLOCK_BYTES) return 'a chunk lies outside of its block';
    const before = at - INDEX_RECORD_BYTES;
    const order = before < 0 ? 0 : records.compare(records, at, at + CHUNK_ID_BYTES, before, before + CHUNK_ID_BYTES);
    if (order > 0) return 'its records are out of order';
  }
  return undefined;
}

function indexKeyOf(idKey: Uint8Array, salt: Uint8Array): Uint8Array {
  return derive(idKey, salt, 'tidemark index', 32);
}
