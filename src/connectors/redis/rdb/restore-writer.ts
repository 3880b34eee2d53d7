import type { CommandRun } from '../pipeline.ts';
import { encodeCommand } from '../resp.ts';
import { quoted } from '../../../core/printable.ts';
import { CRC64_BYTES, createCrc64 } from './crc64.ts';
import type { RdbKey } from './rdb-reader.ts';

/** Type, version of RDB and checksum, which stand around a serialized value in what DUMP answers and RESTORE takes. */
const PAYLOAD_MORE_BYTES = 1 + 2 + CRC64_BYTES;
const ROOM_BYTES = 256 * 1024;
/** All of a command but for key and payload. */
const WORDS_BYTES = 256;
const LINE_END = 0x0a0d;

export type RestoreWord = {
  /** When the key expires instead; undefined: never. */
  readonly expiresAtMs: number | undefined;
  /** Of what lies in `value`, or of the file. */
  readonly version: number;
};

/** What DUMP would answer for a key. Its value is held. */
export function payloadOf(
  { type, value }: { readonly type: number; readonly value: Uint8Array },
  version: number,
): Uint8Array {
  return sealed([Uint8Array.of(type), value, Uint8Array.of(version & 0xff, version >> 8)]);
}

/** Before each library of functions in what FUNCTION DUMP answers, as in an RDB. */
const FUNCTION2 = 245;

/** What FUNCTION DUMP would answer for libraries as they are serialized. */
export function functionsPayload(libraries: readonly Uint8Array[], version: number): Uint8Array {
  const parts = libraries.flatMap((library) => [Uint8Array.of(FUNCTION2), library]);
  return sealed([...parts, Uint8Array.of(version & 0xff, version >> 8)]);
}

/** With the checksum behind it. */
function sealed(parts: readonly Uint8Array[]): Uint8Array {
  const payload = Buffer.concat([...parts, new Uint8Array(CRC64_BYTES)]);
  const crc = createCrc64();
  crc.update(payload.subarray(0, -CRC64_BYTES));
  crc.write(payload, payload.byteLength - CRC64_BYTES);
  return payload;
}

/** Writes RESTORE commands for keys, many into one buffer. */
export class RestoreWriter {
  readonly #crc = createCrc64();
  readonly #replace: boolean;
  #buffer = Buffer.allocUnsafeSlow(0);
  #at = 0;
  #database = -1;
  #keys: (RdbKey | undefined)[] = [];

  /** `replace`: keys that are there already are replaced; else they are an error. */
  constructor({ replace }: { readonly replace: boolean }) {
    this.#replace = replace;
  }

  get sizeBytes(): number {
    return this.#at;
  }

  /** Adds a key whose value is held. Its bytes are copied; its name is kept until what was taken is answered. */
  add(key: RdbKey, value: Uint8Array, word: RestoreWord): void {
    const payloadBytes = value.byteLength + PAYLOAD_MORE_BYTES;
    this.#begin(key, payloadBytes, word);
    const buffer = this.#buffer;
    const start = this.#at;
    buffer[start] = key.type;
    buffer.set(value, start + 1);
    const version = start + 1 + value.byteLength;
    buffer.writeUInt16LE(word.version, version);
    this.#crc.reset();
    this.#crc.update(buffer.subarray(start, version + 2));
    this.#crc.write(buffer, version + 2);
    this.#at = version + 2 + CRC64_BYTES;
    this.#finish(key, word);
  }

  /** Adds a key but for its value and what stands behind that: they are sent after `take`, and then `endOf`. */
  open(key: RdbKey, word: RestoreWord): void {
    this.#begin(key, key.sizeBytes + PAYLOAD_MORE_BYTES, word);
    this.#buffer[this.#at++] = key.type;
  }

  /** What stands behind the value of a key that was opened. */
  endOf(key: RdbKey, checksum: Uint8Array, word: RestoreWord): Uint8Array {
    this.#room(WORDS_BYTES);
    const start = this.#at;
    this.#buffer.writeUInt16LE(word.version, this.#at);
    this.#at += 2;
    this.#buffer.set(checksum, this.#at);
    this.#at += CRC64_BYTES;
    this.#finish(key, word);
    const end = this.#buffer.subarray(start, this.#at);
    this.#buffer = this.#buffer.subarray(this.#at);
    this.#at = 0;
    return end;
  }

  /** What was added since the last time. */
  take(): CommandRun {
    const [bytes, keys] = [this.#buffer.subarray(0, this.#at), this.#keys];
    this.#buffer = this.#buffer.subarray(this.#at);
    this.#at = 0;
    this.#keys = [];
    return { bytes: [bytes], count: keys.length, describe: (index) => nameOf(keys[index]) };
  }

  #begin(key: RdbKey, payloadBytes: number, { expiresAtMs }: RestoreWord): void {
    this.#room(WORDS_BYTES + key.key.byteLength + (key.value === undefined ? 1 : payloadBytes));
    if (key.database !== this.#database) {
      this.#database = key.database;
      this.#put(encodeCommand(['SELECT', String(key.database)]));
      this.#keys.push(undefined);
    }
    const { idleSeconds, frequency } = key;
    const more = (expiresAtMs === undefined ? 0 : 1) + (this.#replace ? 1 : 0);
    const words = 4 + more + (idleSeconds === undefined ? 0 : 2) + (frequency === undefined ? 0 : 2);
    this.#text(`*${words}\r\n$7\r\nRESTORE\r\n$${key.key.byteLength}\r\n`);
    this.#put(key.key);
    const ttl = String(expiresAtMs ?? 0);
    this.#text(`\r\n$${ttl.length}\r\n${ttl}\r\n$${payloadBytes}\r\n`);
    this.#keys.push({ ...key, key: Buffer.from(key.key), value: undefined });
  }

  #finish({ idleSeconds, frequency }: RdbKey, { expiresAtMs }: RestoreWord): void {
    this.#at = this.#buffer.writeUInt16LE(LINE_END, this.#at);
    if (expiresAtMs !== undefined) this.#text('$6\r\nABSTTL\r\n');
    if (this.#replace) this.#text('$7\r\nREPLACE\r\n');
    if (idleSeconds !== undefined) this.#number('$8\r\nIDLETIME', idleSeconds);
    if (frequency !== undefined) this.#number('$4\r\nFREQ', frequency);
  }

  #number(word: string, value: number): void {
    const digits = String(value);
    this.#text(`${word}\r\n$${digits.length}\r\n${digits}\r\n`);
  }

  #text(text: string): void {
    this.#at += this.#buffer.write(text, this.#at, 'latin1');
  }

  #put(bytes: Uint8Array): void {
    this.#buffer.set(bytes, this.#at);
    this.#at += bytes.byteLength;
  }

  #room(sizeBytes: number): void {
    if (this.#buffer.byteLength - this.#at >= sizeBytes) return;
    const larger = Buffer.allocUnsafeSlow(Math.max(ROOM_BYTES, sizeBytes) + this.#at);
    larger.set(this.#buffer.subarray(0, this.#at));
    this.#buffer = larger;
  }
}

function nameOf(key: RdbKey | undefined): string {
  if (key === undefined) return 'a database';
  return `the key ${quoted(Buffer.from(key.key).toString())} of database ${key.database}`;
}
