import { constants, zstdCompressSync } from 'node:zlib';
import { must } from '../../core/must.ts';
import { openFrameUpTo } from '../pipeline/open-frame.ts';
import type { OpenedFrame } from '../pipeline/open-frame.ts';
import { ByteBuilder } from './byte-builder.ts';
import { ByteCursor, damaged } from './byte-cursor.ts';
import { derive, openableBy, openBox, seal, sha256, signParts, unseal, verifyParts } from './crypto.ts';
import type { KeyPair } from './crypto.ts';
import { encodeJson, JsonFields } from './json.ts';
import type { Json } from './json.ts';
import { recordFolders, recordKey } from './names.ts';
import type { RecordKind } from './names.ts';

const MAGIC = 'TMRC';
const VERSION = 0;
const CONTEXT = 'tidemark record\n';
const SIGNATURE_BYTES = 64;
/** JSON of a sealed section from this size on is packed where that makes it smaller; it begins with a zstd frame's first byte then, as no JSON does. */
const PACKED_FROM_BYTES = 1024;
const ZSTD_FIRST_BYTE = 0x28;
const ZSTD_LEVEL = { params: { [constants.ZSTD_c_compressionLevel]: 1 } };
/** What a section unpacks to is in proportion to what it takes, so that no few bytes make a reader run out of memory. */
const UNPACKED_FREE_BYTES = 1024 * 1024;
const UNPACKED_TIMES = 1024;
const UNPACKED_BYTES = 128 * 1024 * 1024;
const ID_BYTES = 16;
const DIGEST_BYTES = 32;
const MIB = 1024 * 1024;
/** No record is larger; the packs of a base of 100 TB fit. */
const MAX_RECORD_BYTES = 256 * MIB;
const MAX_SMALL_RECORD_BYTES = 16 * MIB;
/** Folders of records that name one thing, or list few. */
const SMALL_FOLDERS: ReadonlySet<string> = new Set(['sessions', 'void', 'pins', 'unpins', 'proofs', 'runs']);

/** Who can open a section: everyone, maintainers and readers, readers, or the writer itself. `frames` is no JSON, but frames that are sealed themselves. */
export type SectionName = 'plain' | 'maintenance' | 'content' | 'writer' | 'frames';

const sectionNames: readonly SectionName[] = ['plain', 'maintenance', 'content', 'writer', 'frames'];

/** A section to be written: JSON, or for `frames` bytes. */
export type Section =
  | { readonly name: Exclude<SectionName, 'frames'>; readonly value: Json }
  | { readonly name: 'frames'; readonly bytes: Uint8Array };

export type RecordHeader = {
  readonly kind: RecordKind;
  readonly repository: string;
  readonly credential: string;
  readonly session: string;
  readonly counter: number;
  /** SHA-256 of the record before it in its session's chain, as hex. */
  readonly previous: string;
  readonly sections: readonly SectionName[];
};

/** A record with its header readable and its sections still closed. */
export type SealedRecord = {
  readonly header: RecordHeader;
  readonly key: string;
  readonly digest: string;
  readonly sizeBytes: number;
  readonly headerBytes: Uint8Array;
  /** Undefined: one that was left out because whoever kept the record has no key for it. */
  readonly sections: readonly (Uint8Array | OpenedSection | undefined)[];
};

/** What stands in a record for a section that was opened before. */
export class OpenedSection {
  readonly read: () => JsonFields;

  constructor(read: () => JsonFields) {
    this.read = read;
  }
}

/** A record as it lies in the repository. Nothing is believed before `verifyRecord`. */
export type SignedRecord = SealedRecord & { readonly signed: Uint8Array; readonly signature: Uint8Array };

/** How large a record under that key may be. */
export function maxRecordBytes(key: string): number {
  return SMALL_FOLDERS.has(key.split('/', 1)[0] ?? '') ? MAX_SMALL_RECORD_BYTES : MAX_RECORD_BYTES;
}

export const NO_PREVIOUS = '0'.repeat(DIGEST_BYTES * 2);

/** Public keys that sections are sealed to. */
export type SectionKeys = { readonly contentKey: Uint8Array; readonly maintenanceKey: Uint8Array };

/** `seeds`: 32 fresh random bytes for each sealed section. */
export function writeRecord(options: {
  header: Omit<RecordHeader, 'sections'>;
  sections: readonly Section[];
  signing: KeyPair;
  keys: SectionKeys;
  /** For writer sections. */
  idKey?: Uint8Array | undefined;
  random: (sizeBytes: number) => Uint8Array;
}): Uint8Array {
  const names = options.sections.map((section) => section.name);
  const headerBytes = encodeJson({ ...options.header, sections: names });
  const builder = new ByteBuilder(4096)
    .text(MAGIC)
    .u8(VERSION)
    .u32(headerBytes.byteLength)
    .bytes(headerBytes)
    .u8(names.length);
  const aad = sha256(headerBytes);
  for (const item of options.sections) {
    const section =
      item.name === 'frames' ? item.bytes : closeSection(item.name, encodeJson(item.value), { ...options, aad });
    builder.u32(section.byteLength).bytes(section);
  }
  const signed = builder.take();
  return Buffer.concat([signed, signParts(options.signing, CONTEXT, [signed])]);
}

function closeSection(
  name: Exclude<SectionName, 'frames'>,
  json: Uint8Array,
  options: {
    aad: Uint8Array;
    keys: SectionKeys;
    idKey?: Uint8Array | undefined;
    random: (sizeBytes: number) => Uint8Array;
  },
): Uint8Array {
  const { aad, keys } = options;
  if (name === 'plain') return json;
  const plain = packed(json);
  if (name === 'writer') return seal({ key: writerSectionKey(must(options.idKey, 'an id key'), aad), aad, plain });
  const publicKey = name === 'content' ? keys.contentKey : keys.maintenanceKey;
  return openableBy({ publicKey, info: 'record', aad, plain: [plain], ephemeralSeed: options.random(32) });
}

function packed(json: Uint8Array): Uint8Array {
  if (json.byteLength < PACKED_FROM_BYTES) return json;
  const frame = zstdCompressSync(json, ZSTD_LEVEL);
  const isWorthIt = frame.byteLength < json.byteLength && json.byteLength <= maxUnpackedBytes(frame.byteLength);
  return isWorthIt ? frame : json;
}

/** To how many bytes of JSON a frame of that size may unpack. What is hardly packed may be as large as a record: the packs of large bases. */
export function maxUnpackedBytes(frameBytes: number): number {
  const inProportion = Math.min(UNPACKED_FREE_BYTES + UNPACKED_TIMES * frameBytes, UNPACKED_BYTES);
  return Math.min(Math.max(inProportion, 2 * frameBytes), MAX_RECORD_BYTES);
}

function unpacked(plain: Uint8Array, what: string): Uint8Array {
  if (plain[0] !== ZSTD_FIRST_BYTE) return plain;
  const { bytes, isWhole } = unpack(plain, what);
  if (!isWhole) throw damaged(what, 'something comes after the frame of a section');
  return bytes;
}

function unpack(plain: Uint8Array, what: string): OpenedFrame {
  try {
    return openFrameUpTo(plain, maxUnpackedBytes(plain.byteLength));
  } catch (cause) {
    throw damaged(what, 'a section can’t be unpacked', cause);
  }
}

function writerSectionKey(idKey: Uint8Array, headerDigest: Uint8Array): Uint8Array {
  return derive(idKey, headerDigest, 'tidemark writer section', 32);
}

/** @throws REPOSITORY_DAMAGED */
export function readRecordHeader(bytes: Uint8Array, what: string): RecordHeader {
  const fields = JsonFields.parse(bytes, what);
  const sections = fields.texts('sections').map((name): SectionName => {
    const known = sectionNames.find((known) => known === name);
    if (known === undefined) throw damaged(what, 'a section is of no known kind');
    return known;
  });
  return {
    kind: fields.oneOf('kind', Object.keys(recordFolders) as RecordKind[]), // the keys of that constant are the kinds
    repository: fields.hex('repository', ID_BYTES),
    credential: fields.hex('credential', ID_BYTES),
    session: fields.hex('session', ID_BYTES),
    counter: fields.count('counter', 0xffffffff),
    previous: fields.hex('previous', DIGEST_BYTES),
    sections,
  };
}

/** The header of a record of which `cursor` has at least the beginning. */
function takeHeader(
  cursor: ByteCursor,
  key: string,
): { readonly header: RecordHeader; readonly headerBytes: Uint8Array } {
  cursor.expectMagic(MAGIC, VERSION);
  const headerBytes = cursor.bytes(cursor.u32());
  const header = readRecordHeader(headerBytes, key);
  if (recordKey(header.kind, header.session, header.counter) !== key) throw damaged(key, 'it belongs elsewhere');
  return { header, headerBytes };
}

/** What a record says of itself, from its first bytes. @throws REPOSITORY_DAMAGED as `readRecord` does */
export function peekRecordHeader(bytes: Uint8Array, key: string): RecordHeader {
  return takeHeader(new ByteCursor(bytes, key), key).header;
}

/** Splits a record. @throws REPOSITORY_DAMAGED, also when it lies under a key that is not its own. */
export function readRecord(bytes: Uint8Array, key: string): SignedRecord {
  const cursor = new ByteCursor(bytes, key);
  const { header, headerBytes } = takeHeader(cursor, key);
  const count = cursor.u8();
  if (count !== header.sections.length) cursor.fail('its sections do not fit its header');
  const sections: Uint8Array[] = [];
  for (let index = 0; index < count; index++) sections.push(cursor.bytes(cursor.u32()));
  const signed = bytes.subarray(0, cursor.offset);
  const signature = cursor.bytes(SIGNATURE_BYTES);
  cursor.expectEnd();
  const digest = Buffer.from(sha256(bytes)).toString('hex');
  return { header, key, digest, sizeBytes: bytes.byteLength, headerBytes, sections, signed, signature };
}

export function verifyRecord(record: SignedRecord, signingKey: Uint8Array): boolean {
  return verifyParts(signingKey, CONTEXT, [record.signed], record.signature);
}

/** What the holder of a repository's keys can open. */
export type SectionAccess = {
  readonly content?: KeyPair | undefined;
  readonly maintenance?: KeyPair | undefined;
  /** The id key of the record's own writer. */
  readonly idKey?: Uint8Array | undefined;
};

/** A section as it lies in its record. */
export type SealedSection = { readonly name: SectionName; readonly section: Uint8Array | OpenedSection };

/** The first of the named sections that the record has and the access has a key for; undefined when there is none. */
export function openableSection(
  record: SealedRecord,
  names: readonly SectionName[],
  access: SectionAccess,
): SealedSection | undefined {
  for (const name of names) {
    const section = record.sections[record.header.sections.indexOf(name)];
    if (section !== undefined && mayOpenSection(name, access)) return { name, section };
  }
  return undefined;
}

export function mayOpenSection(name: SectionName, access: SectionAccess): boolean {
  if (name === 'writer') return access.idKey !== undefined;
  if (name === 'content') return access.content !== undefined;
  return name === 'plain' || name === 'frames' || access.maintenance !== undefined;
}

/** What a section says. @throws REPOSITORY_DAMAGED when it should open and does not */
export function openSection(record: SealedRecord, { name, section }: SealedSection, access: SectionAccess): JsonFields {
  if (section instanceof OpenedSection) return section.read();
  return JsonFields.parse(unsealSection(record, { name, section }, access), record.key);
}

function unsealSection(
  record: SealedRecord,
  { name, section }: { readonly name: SectionName; readonly section: Uint8Array },
  access: SectionAccess,
): Uint8Array {
  const aad = sha256(record.headerBytes);
  const what = record.key;
  if (name === 'plain' || name === 'frames') return section;
  if (name === 'writer') {
    const key = writerSectionKey(must(access.idKey, 'an id key'), aad);
    return unpacked(unseal({ key, aad, sealed: section, what }), what);
  }
  const pair = must(name === 'content' ? access.content : access.maintenance, 'a key of the section');
  return unpacked(openBox({ pair, info: 'record', aad, box: section, what }), what);
}
