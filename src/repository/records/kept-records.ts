import { mkdir, readFile, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { isTidemarkError, systemCode } from '../../core/errors.ts';
import { equalBytes, toHex } from '../../core/bytes.ts';
import type { Run, Runtime } from '../../core/run.ts';
import { replaceFile } from '../../io/atomic-file.ts';
import type { ObjectInfo } from '../../objects/object-store.ts';
import { ByteBuilder } from '../format/byte-builder.ts';
import { ByteCursor } from '../format/byte-cursor.ts';
import { derive, seal, unseal } from '../format/crypto.ts';
import type { SealedRecord, SectionName } from '../format/record.ts';

const MAGIC = 'TMKR';
const VERSION = 0;
const SALT_BYTES = 32;
const SIGNING_KEY_BYTES = 32;
/** Larger records are read each time. */
const LARGEST_RECORD_BYTES = 64 * 1024;
/** Of all records together; what comes later is read each time. */
const MOST_BYTES = 64 * 1024 * 1024;
const MOST_FILE_BYTES = 3 * MOST_BYTES;
/** The file is written anew when more than this, and more than a share of all, has changed. */
const LEAST_CHANGES = 16;
const CHANGED_SHARE = 1 / 50;
/** Sections that every look at a repository opens, and that take a key agreement each. */
const KEPT_SECTIONS: readonly SectionName[] = ['maintenance', 'writer'];

type Kept = {
  readonly modifiedMs: number;
  readonly digest: string;
  /** By whose key the signature was proven. */
  readonly signingKey: Uint8Array;
  readonly bytes: Uint8Array;
  readonly opened: Map<SectionName, Uint8Array>;
};

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
  #bytes = 0;
  #changes = 0;

  private constructor(options: KeptRecordsOptions, kept: Map<string, Kept>) {
    this.#options = options;
    this.#byKey = kept;
    for (const { bytes } of kept.values()) this.#bytes += bytes.byteLength;
  }

  static async open(options: KeptRecordsOptions, run: Run): Promise<KeptRecords> {
    run.signal.throwIfAborted();
    return new KeptRecords(options, await loadFile(options));
  }

  /** The bytes of the record that the listing speaks of. `isProven`: its signature fits this key. */
  find(info: ObjectInfo): { readonly bytes: Uint8Array; isProven(signingKey: Uint8Array): boolean } | undefined {
    const kept = this.#byKey.get(info.key);
    if (kept?.modifiedMs !== info.modifiedMs || kept.bytes.byteLength !== info.sizeBytes) return undefined;
    return { bytes: kept.bytes, isProven: (signingKey) => equalBytes(kept.signingKey, signingKey) };
  }

  /** Keeps a record whose signature was proven. */
  add({ key, modifiedMs, sizeBytes }: ObjectInfo, record: SealedRecord, signingKey: Uint8Array): void {
    const known = this.#byKey.get(key);
    if (known?.digest === record.digest && known.modifiedMs === modifiedMs) return;
    const isKeepable = sizeBytes <= LARGEST_RECORD_BYTES && this.#bytes + sizeBytes <= MOST_BYTES;
    if (!isKeepable || !Number.isSafeInteger(modifiedMs)) return;
    const bytes = Buffer.concat([record.signed, record.signature]);
    this.#byKey.set(key, { modifiedMs, digest: record.digest, signingKey, bytes, opened: new Map() });
    this.#bytes += bytes.byteLength - (known?.bytes.byteLength ?? 0);
    this.#changes++;
  }

  /** The plain of a section; `open` is asked where it is not kept. */
  section({ key, digest }: SealedRecord, name: SectionName, open: () => Uint8Array): Uint8Array {
    const kept = this.#byKey.get(key);
    if (kept?.digest !== digest || !KEPT_SECTIONS.includes(name)) return open();
    const known = kept.opened.get(name);
    if (known !== undefined) return known;
    const plain = open();
    kept.opened.set(name, plain);
    return plain;
  }

  /** Writes down what is new, once that is worth it; what is not `listed` any more goes. A failure is logged: nothing depends on it. */
  async save(listed: ReadonlyMap<string, unknown>, run: Run): Promise<void> {
    const gone = [...this.#byKey.keys()].filter((key) => !listed.has(key));
    for (const key of gone) {
      this.#bytes -= this.#byKey.get(key)?.bytes.byteLength ?? 0;
      this.#byKey.delete(key);
    }
    this.#changes += gone.length;
    const { mayWrite, runtime } = this.#options;
    if (!mayWrite || this.#changes <= LEAST_CHANGES + this.#byKey.size * CHANGED_SHARE) return;
    const path = pathOf(this.#options);
    try {
      await mkdir(dirname(path), { recursive: true, mode: 0o700 });
      await replaceFile(path, [this.#encode()], { mode: 0o600, random: runtime.random }, run);
      this.#changes = 0;
    } catch (error) {
      if (systemCode(error) === undefined) throw error;
      runtime.logger.log(
        'warn',
        `${path} can’t be written, so that records are read again next time (${systemCode(error)})`,
      );
    }
  }

  #encode(): Uint8Array {
    const plain = new ByteBuilder(this.#bytes * 2 + 1024).varint(this.#byKey.size);
    for (const [key, { modifiedMs, digest, signingKey, bytes, opened }] of this.#byKey) {
      sized(plain, Buffer.from(key)).varint(modifiedMs).bytes(Buffer.from(digest, 'hex')).bytes(signingKey);
      sized(plain, bytes).u8(opened.size);
      for (const [name, section] of opened) sized(plain.u8(KEPT_SECTIONS.indexOf(name)), section);
    }
    const salt = this.#options.runtime.random(SALT_BYTES);
    const sealed = seal({ ...sealOf(this.#options, salt), plain: plain.take() });
    return new ByteBuilder(sealed.byteLength + SALT_BYTES + 8).text(MAGIC).u8(VERSION).bytes(salt).bytes(sealed).take();
  }
}

function pathOf({ folder, secret }: KeptRecordsOptions): string {
  return join(folder, toHex(derive(secret, undefined, 'tidemark kept records name', 8)));
}

function sealOf({ secret, repository }: KeptRecordsOptions, salt: Uint8Array): { key: Uint8Array; aad: Uint8Array } {
  return { key: derive(secret, salt, 'tidemark kept records', 32), aad: Buffer.from(repository) };
}

function sized(builder: ByteBuilder, bytes: Uint8Array): ByteBuilder {
  return builder.varint(bytes.byteLength).bytes(bytes);
}

async function loadFile(options: KeptRecordsOptions): Promise<Map<string, Kept>> {
  const path = pathOf(options);
  let file: Uint8Array;
  try {
    if ((await stat(path)).size > MOST_FILE_BYTES) return new Map();
    file = await readFile(path);
  } catch (error) {
    const code = systemCode(error);
    if (code === undefined) throw error;
    if (code !== 'ENOENT') {
      options.runtime.logger.log('warn', `${path} can’t be read, so that all records are (${code})`);
    }
    return new Map();
  }
  try {
    const cursor = new ByteCursor(file, path);
    cursor.expectMagic(MAGIC, VERSION);
    const salt = cursor.bytes(SALT_BYTES);
    const sealed = cursor.bytes(cursor.remaining);
    return decode(unseal({ ...sealOf(options, salt), sealed, what: path }), path);
  } catch (error) {
    if (!isTidemarkError(error, 'REPOSITORY_DAMAGED')) throw error;
    return new Map();
  }
}

function decode(plain: Uint8Array, what: string): Map<string, Kept> {
  const cursor = new ByteCursor(plain, what);
  const kept = new Map<string, Kept>();
  for (let left = cursor.varint(); left > 0; left--) {
    const key = Buffer.from(cursor.bytes(cursor.varint())).toString();
    const modifiedMs = cursor.varint();
    const digest = toHex(cursor.bytes(32));
    const signingKey = cursor.bytes(SIGNING_KEY_BYTES);
    const bytes = cursor.bytes(cursor.varint());
    const opened = new Map<SectionName, Uint8Array>();
    for (let sections = cursor.u8(); sections > 0; sections--) {
      const name = KEPT_SECTIONS[cursor.u8()];
      const section = cursor.bytes(cursor.varint());
      if (name !== undefined) opened.set(name, section);
    }
    kept.set(key, { modifiedMs, digest, signingKey, bytes, opened });
  }
  cursor.expectEnd();
  return kept;
}
