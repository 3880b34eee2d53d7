import { mkdir, readFile, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { must } from '../../core/must.ts';
import { isTidemarkError, systemCode } from '../../core/errors.ts';
import { equalBytes, toHex } from '../../core/bytes.ts';
import type { Run, Runtime } from '../../core/run.ts';
import { replaceFile } from '../../io/atomic-file.ts';
import type { ObjectInfo } from '../../objects/object-store.ts';
import type { Certificate } from '../format/certificate.ts';
import { ByteBuilder } from '../format/byte-builder.ts';
import { ByteCursor } from '../format/byte-cursor.ts';
import { derive, seal, unseal } from '../format/crypto.ts';
import { encodeJson, JsonFields, LaterBytes } from '../format/json.ts';
import { mayOpenSection, OpenedSection, readRecordHeader } from '../format/record.ts';
import type { SealedRecord, SectionAccess, SectionName } from '../format/record.ts';
import { PackSets } from './pack-sets.ts';

const MAGIC = 'TMKR';
const VERSION = 1;
const SALT_BYTES = 32;
const SIGNING_KEY_BYTES = 32;
const DIGEST_BYTES = 32;
/** A record of which more has to be kept is read each time. */
const LARGEST_RECORD_BYTES = 64 * 1024;
/** Of all records together; what comes later is read each time. */
const MOST_BYTES = 64 * 1024 * 1024;
const MOST_FILE_BYTES = 2 * MOST_BYTES;
/** The file is written anew when more than this, and more than a share of all, has changed. */
const LEAST_CHANGES = 16;
const CHANGED_SHARE = 1 / 50;
/** Sections that every look at a repository opens, and that take a key agreement each. */
const KEPT_SECTIONS: readonly SectionName[] = ['maintenance', 'writer'];
/** What a record of a base is large by. */
const PACKS = 'packs';
const ABSENT = 0;
const SEALED = 1;
const OPENED = 2;
const OPENED_WITH_PACKS = 3;

/** An opened section. `packs`: what lies apart of it, as a set of packs. */
type Opened = { readonly json: Uint8Array; readonly packs?: Uint8Array | undefined };

type Kept = {
  readonly modifiedMs: number;
  readonly sizeBytes: number;
  readonly digest: string;
  /** By whose key the signature was proven. */
  readonly signingKey: Uint8Array;
  readonly headerBytes: Uint8Array;
  /** As in the record, without those that nobody here has a key for, and those that are opened. */
  readonly sections: (Uint8Array | Opened | undefined)[];
};

type KeptFile = { readonly byKey: Map<string, Kept>; readonly packSets: PackSets };

/** A record and the key that its signature fits. */
type Proven = { readonly record: SealedRecord; readonly signingKey: Uint8Array };

export type KeptRecordsOptions = {
  readonly folder: string;
  /** Of whoever opens the repository: the file is sealed with it, so that it tells nobody else anything. */
  readonly secret: Uint8Array;
  readonly repository: string;
  readonly runtime: Runtime;
  /** False: what is new is kept for this run only. */
  readonly mayWrite: boolean;
};

/**
 * Records that this host has read and proven before, with the sections that it opened, in a file of its own: what a repository's listing still shows
 * as it was needs neither be fetched nor be proven again.
 * The file is a cache: where it is missing, damaged or of another key, or can't be read or written, everything is read.
 */
export class KeptRecords {
  readonly #options: KeptRecordsOptions;
  readonly #byKey: Map<string, Kept>;
  readonly #packSets: PackSets;
  /** Keys of what is not written down yet. */
  readonly #fresh = new Set<string>();
  #bytes = 0;
  #gone = 0;

  private constructor(options: KeptRecordsOptions, { byKey, packSets }: KeptFile) {
    this.#options = options;
    this.#byKey = byKey;
    this.#packSets = packSets;
    for (const kept of byKey.values()) this.#bytes += bytesOf(kept);
  }

  static async open(options: KeptRecordsOptions, run: Run): Promise<KeptRecords> {
    run.signal.throwIfAborted();
    return new KeptRecords(options, await loadFile(options));
  }

  /** The record that the listing speaks of, if its signature was proven by the key that counts, and all that `access` can open of it is kept. */
  find(
    { key, modifiedMs, sizeBytes }: ObjectInfo,
    certificates: ReadonlyMap<string, Certificate>,
    access: SectionAccess,
  ): SealedRecord | undefined {
    const kept = this.#byKey.get(key);
    if (kept?.modifiedMs !== modifiedMs || kept.sizeBytes !== sizeBytes) return undefined;
    const { digest, headerBytes, signingKey } = kept;
    const header = readRecordHeader(headerBytes, key);
    const certificate = certificates.get(header.credential);
    if (certificate === undefined || !equalBytes(certificate.signingKey, signingKey)) return undefined;
    const isLacking = header.sections.some(
      (name, at) => kept.sections[at] === undefined && mayOpenSection(name, access),
    );
    if (isLacking) return undefined;
    const sections = kept.sections.map((section) => {
      if (section === undefined || section instanceof Uint8Array) return section;
      return new OpenedSection(() => this.#fieldsOf(section, key));
    });
    return { header, key, digest, sizeBytes, headerBytes, sections };
  }

  /** Keeps a record whose signature was proven, and of its sections what `access` can open. */
  add({ key, modifiedMs }: ObjectInfo, trusted: Proven, access: SectionAccess): void {
    const { record, signingKey } = trusted;
    const { digest, sizeBytes, headerBytes, header } = record;
    const known = this.#byKey.get(key);
    if (known?.digest === digest && known.modifiedMs === modifiedMs) return;
    const sections: (Uint8Array | undefined)[] = [];
    for (const [at, section] of record.sections.entries()) {
      if (section instanceof OpenedSection) return;
      const name = header.sections[at];
      const isClosed = (name === 'maintenance' || name === 'content') && !mayOpenSection(name, access);
      sections.push(isClosed ? undefined : section);
    }
    const kept: Kept = { modifiedMs, sizeBytes, digest, signingKey, headerBytes, sections };
    if (this.#bytes + bytesOf(kept) > MOST_BYTES || !Number.isSafeInteger(modifiedMs)) return;
    this.#bytes += bytesOf(kept) - (known === undefined ? 0 : bytesOf(known));
    this.#byKey.set(key, kept);
    this.#fresh.add(key);
  }

  /** Keeps what a section says in its place. */
  addOpened({ key, digest, header }: SealedRecord, name: SectionName, fields: JsonFields): void {
    const kept = this.#byKey.get(key);
    const at = header.sections.indexOf(name);
    const sealed = kept?.sections[at];
    if (kept?.digest !== digest || !(sealed instanceof Uint8Array) || !KEPT_SECTIONS.includes(name)) return;
    // Its text is made again here: one that is too large to be written down is not held either.
    const largestBytes = header.kind === 'manifest' ? MOST_BYTES - this.#bytes : LARGEST_RECORD_BYTES;
    if (fields.sizeBytes > largestBytes) return;
    const opened = header.kind === 'manifest' ? this.#apart(fields) : { json: encodeJson(fields.all) };
    kept.sections[at] = opened;
    this.#bytes += sizeOf(opened) - sealed.byteLength;
  }

  /** Writes down what is new, once that is worth it; what is not `listed` any more goes. A failure is logged: nothing depends on it. */
  async save(listed: ReadonlyMap<string, unknown>, run: Run): Promise<void> {
    const gone = [...this.#byKey.keys()].filter((key) => !listed.has(key));
    for (const key of gone) {
      const kept = this.#byKey.get(key);
      if (kept !== undefined) this.#bytes -= bytesOf(kept);
      this.#byKey.delete(key);
    }
    this.#gone += gone.length;
    const added = [...this.#fresh].filter((key) => isKeepable(this.#byKey.get(key))).length;
    const { mayWrite, runtime } = this.#options;
    if (!mayWrite || this.#gone + added <= LEAST_CHANGES + this.#byKey.size * CHANGED_SHARE) return;
    const path = pathOf(this.#options);
    try {
      await mkdir(dirname(path), { recursive: true, mode: 0o700 });
      await replaceFile(path, [this.#encode()], { mode: 0o600, random: runtime.random }, run);
      this.#gone = 0;
      this.#fresh.clear();
    } catch (error) {
      if (systemCode(error) === undefined) throw error;
      runtime.logger.log(
        'warn',
        `${path} can’t be written, so that records are read again next time (${systemCode(error)})`,
      );
    }
  }

  #fieldsOf({ json, packs }: Opened, what: string): JsonFields {
    if (packs === undefined) return JsonFields.parse(json, what);
    return JsonFields.parse(json, what).with(PACKS, new LaterBytes(() => this.#packSets.get(packs)));
  }

  #apart(fields: JsonFields): Opened {
    const packs = fields.has(PACKS) ? this.#packSets.put(fields.base64(PACKS)) : undefined;
    return packs === undefined ? { json: encodeJson(fields.all) } : { json: encodeJson(fields.without(PACKS)), packs };
  }

  /** By time: bases that follow on each other have most packs in common. */
  #encode(): Uint8Array {
    const all = [...this.#byKey]
      .filter(([, kept]) => isKeepable(kept))
      .toSorted(([, left], [, right]) => left.modifiedMs - right.modifiedMs);
    const { sets, moved } = this.#packSets.only(all.flatMap(([, { sections }]) => sections.flatMap(packsOf)));
    const plain = new ByteBuilder(this.#bytes + 1024);
    sized(plain, sets.ids).varint(all.length);
    let next = 0;
    for (const [key, { modifiedMs, sizeBytes, digest, signingKey, headerBytes, sections }] of all) {
      sized(plain, Buffer.from(key)).varint(modifiedMs).varint(sizeBytes);
      plain.bytes(Buffer.from(digest, 'hex')).bytes(signingKey);
      sized(plain, headerBytes).u8(sections.length);
      for (const section of sections) {
        if (section === undefined) plain.u8(ABSENT);
        else if (section instanceof Uint8Array) sized(plain.u8(SEALED), section);
        else if (section.packs === undefined) sized(plain.u8(OPENED), section.json);
        else sized(sized(plain.u8(OPENED_WITH_PACKS), section.json), must(moved[next++], 'every set to be moved'));
      }
    }
    const salt = this.#options.runtime.random(SALT_BYTES);
    const sealed = seal({ ...sealOf(this.#options, salt), plain: plain.take() });
    return new ByteBuilder(sealed.byteLength + SALT_BYTES + 8).text(MAGIC).u8(VERSION).bytes(salt).bytes(sealed).take();
  }
}

function isKeepable(kept: Kept | undefined): boolean {
  return kept !== undefined && bytesOf(kept) <= LARGEST_RECORD_BYTES;
}

function packsOf(section: Uint8Array | Opened | undefined): readonly Uint8Array[] {
  return section === undefined || section instanceof Uint8Array || section.packs === undefined ? [] : [section.packs];
}

function sizeOf(section: Uint8Array | Opened | undefined): number {
  if (section === undefined) return 0;
  if (section instanceof Uint8Array) return section.byteLength;
  return section.json.byteLength + (section.packs?.byteLength ?? 0);
}

function bytesOf({ headerBytes, sections }: Kept): number {
  return sections.reduce((sum, section) => sum + sizeOf(section), headerBytes.byteLength);
}

function pathOf({ folder, secret }: KeptRecordsOptions): string {
  return join(folder, toHex(derive(secret, undefined, 'tidemark kept records name', 8)));
}

function sealOf({ secret, repository }: KeptRecordsOptions, salt: Uint8Array): { key: Uint8Array; aad: Uint8Array } {
  return { key: derive(secret, salt, `tidemark kept records ${VERSION}`, 32), aad: Buffer.from(repository) };
}

function sized(builder: ByteBuilder, bytes: Uint8Array): ByteBuilder {
  return builder.varint(bytes.byteLength).bytes(bytes);
}

async function loadFile(options: KeptRecordsOptions): Promise<KeptFile> {
  const path = pathOf(options);
  let file: Uint8Array;
  try {
    if ((await stat(path)).size > MOST_FILE_BYTES) return nothingKept();
    file = await readFile(path);
  } catch (error) {
    const code = systemCode(error);
    if (code === undefined) throw error;
    if (code !== 'ENOENT') {
      options.runtime.logger.log('warn', `${path} can’t be read, so that all records are (${code})`);
    }
    return nothingKept();
  }
  try {
    const cursor = new ByteCursor(file, path);
    cursor.expectMagic(MAGIC, VERSION);
    const salt = cursor.bytes(SALT_BYTES);
    const sealed = cursor.bytes(cursor.remaining);
    return decode(unseal({ ...sealOf(options, salt), sealed, what: path }), path);
  } catch (error) {
    if (!isTidemarkError(error, 'REPOSITORY_DAMAGED')) throw error;
    return nothingKept();
  }
}

function decode(plain: Uint8Array, what: string): KeptFile {
  const cursor = new ByteCursor(plain, what);
  const packSets = PackSets.of(taken(cursor));
  const byKey = new Map<string, Kept>();
  for (let left = cursor.varint(); left > 0; left--) {
    const key = Buffer.from(taken(cursor)).toString();
    const modifiedMs = cursor.varint();
    const sizeBytes = cursor.varint();
    const digest = toHex(cursor.bytes(DIGEST_BYTES));
    const signingKey = cursor.bytes(SIGNING_KEY_BYTES);
    const headerBytes = taken(cursor);
    const sections = Array.from({ length: cursor.u8() }, () => readSection(cursor));
    byKey.set(key, { modifiedMs, sizeBytes, digest, signingKey, headerBytes, sections });
  }
  cursor.expectEnd();
  return { byKey, packSets };
}

function readSection(cursor: ByteCursor): Uint8Array | Opened | undefined {
  const kind = cursor.u8();
  if (kind === ABSENT) return undefined;
  if (kind === SEALED) return taken(cursor);
  const json = taken(cursor);
  return { json, packs: kind === OPENED_WITH_PACKS ? taken(cursor) : undefined };
}

function taken(cursor: ByteCursor): Uint8Array {
  return cursor.bytes(cursor.varint());
}

function nothingKept(): KeptFile {
  return { byKey: new Map(), packSets: PackSets.of(new Uint8Array(0)) };
}
