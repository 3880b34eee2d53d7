import type { CommandRun } from '../pipeline.ts';
import { encodeCommand } from '../resp.ts';
import { must } from '../../../core/must.ts';
import { quoted } from '../../../core/printable.ts';
import { CommandScanner } from '../commands/command-reader.ts';
import { CRC64_BYTES, createCrc64 } from './crc64.ts';
import type { RdbKey } from './rdb-reader.ts';

/** Type, version of RDB and checksum, which stand around a serialized value in what DUMP answers and RESTORE takes. */
const NOTHING = Buffer.alloc(0);
const PAYLOAD_MORE_BYTES = 1 + 2 + CRC64_BYTES;
const ROOM_BYTES = 256 * 1024;
/** All of a command but for key and payload. */
const WORDS_BYTES = 256;

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

const BEGINNINGS = Array.from({ length: 12 }, (_, words) => Buffer.from(`*${words}\r\n$7\r\nRESTORE\r\n$`));
const ABSOLUTE = Buffer.from('$6\r\nABSTTL\r\n');
const REPLACE = Buffer.from('$7\r\nREPLACE\r\n');
const IDLE_TIME = Buffer.from('$8\r\nIDLETIME\r\n$');
const FREQUENCY = Buffer.from('$4\r\nFREQ\r\n$');
const [CR, NEWLINE, DOLLAR, ZERO] = [0x0d, 0x0a, 0x24, 0x30];
/** Up to here a loop is faster than to have it copied. */
const FEW_BYTES = 64;

/** Writes RESTORE commands for keys, many into one buffer; buffers that are released are written into again. */
export class RestoreWriter {
  readonly #crc = createCrc64();
  readonly #replace: boolean;
  #buffer: Buffer = NOTHING;
  readonly #free: Buffer[] = [];
  #at = 0;
  #database = -1;
  #count = 0;

  /** `replace`: keys that are there already are replaced; else they are an error. */
  constructor({ replace }: { readonly replace: boolean }) {
    this.#replace = replace;
  }

  get sizeBytes(): number {
    return this.#at;
  }

  /** Adds a key whose value is held, with another value where one is given. The bytes are copied. */
  add(key: RdbKey, other: Uint8Array | undefined, word: RestoreWord): void {
    const value = other ?? must(key.valueIn, 'a value that is held');
    const from = other === undefined ? key.valueFrom : 0;
    const sizeBytes = other?.byteLength ?? key.sizeBytes;
    this.#begin(key, sizeBytes + PAYLOAD_MORE_BYTES, word);
    const start = this.#at;
    this.#buffer[this.#at++] = key.type;
    this.#put(value, from, from + sizeBytes);
    this.#version(word.version);
    if (other === undefined && key.checksum !== undefined) this.#put(key.checksum);
    else this.#checksum(start);
    this.#finish(key, word);
  }

  /** Adds a key but for its value and what stands behind that: they are sent after `take`, and then `endOf`. */
  open(key: RdbKey, word: RestoreWord): void {
    this.#begin(key, key.sizeBytes + PAYLOAD_MORE_BYTES, word);
    this.#buffer[this.#at++] = key.type;
  }

  /** What stands behind the value of a key that was opened, and taken. */
  endOf(key: RdbKey, checksum: Uint8Array, word: RestoreWord): Uint8Array {
    this.#room(WORDS_BYTES);
    this.#version(word.version);
    this.#put(checksum);
    this.#finish(key, word);
    const bytes = Buffer.from(this.#buffer.subarray(0, this.#at));
    this.#at = 0;
    return bytes;
  }

  /** What was added since the last time. */
  take(): CommandRun {
    const [buffer, count] = [this.#buffer, this.#count];
    const bytes = buffer.subarray(0, this.#at);
    [this.#buffer, this.#at, this.#count] = [NOTHING, 0, 0];
    const release = (): void => {
      if (buffer.byteLength === ROOM_BYTES) this.#free.push(buffer);
    };
    return { bytes: [bytes], count, describe: (index) => nameIn(bytes, index), release };
  }

  #begin(key: RdbKey, payloadBytes: number, { expiresAtMs }: RestoreWord): void {
    const keyBytes = key.keyTo - key.keyFrom;
    this.#room(WORDS_BYTES + keyBytes + (key.valueIn === undefined ? 1 : payloadBytes));
    if (key.database !== this.#database) {
      this.#database = key.database;
      this.#put(encodeCommand(['SELECT', String(key.database)]));
      this.#count += 1;
    }
    this.#count += 1;
    const more = (expiresAtMs === undefined ? 0 : 1) + (this.#replace ? 1 : 0);
    const words = 4 + more + (key.idleSeconds === undefined ? 0 : 2) + (key.frequency === undefined ? 0 : 2);
    this.#put(must(BEGINNINGS[words], 'so many words'));
    this.#number(keyBytes);
    this.#put(key.keyIn, key.keyFrom, key.keyTo);
    this.#lineEnd();
    this.#buffer[this.#at++] = DOLLAR;
    const ttl = expiresAtMs ?? 0;
    this.#number(digitsOf(ttl));
    this.#number(ttl);
    this.#buffer[this.#at++] = DOLLAR;
    this.#number(payloadBytes);
  }

  #finish({ idleSeconds, frequency }: RdbKey, { expiresAtMs }: RestoreWord): void {
    this.#lineEnd();
    if (expiresAtMs !== undefined) this.#put(ABSOLUTE);
    if (this.#replace) this.#put(REPLACE);
    if (idleSeconds !== undefined) this.#option(IDLE_TIME, idleSeconds);
    if (frequency !== undefined) this.#option(FREQUENCY, frequency);
  }

  #checksum(start: number): void {
    this.#crc.reset();
    this.#crc.update(this.#buffer, start, this.#at);
    this.#crc.write(this.#buffer, this.#at);
    this.#at += CRC64_BYTES;
  }

  #option(word: Uint8Array, value: number): void {
    this.#put(word);
    this.#number(digitsOf(value));
    this.#number(value);
  }

  #version(version: number): void {
    this.#buffer[this.#at++] = version & 0xff;
    this.#buffer[this.#at++] = version >> 8;
  }

  /** In decimal, with a line end. */
  #number(value: number): void {
    let left = value;
    const end = this.#at + digitsOf(value);
    for (let at = end - 1; at >= this.#at; at -= 1) {
      const rest = Math.floor(left / 10);
      this.#buffer[at] = ZERO + left - rest * 10;
      left = rest;
    }
    this.#at = end;
    this.#lineEnd();
  }

  #lineEnd(): void {
    this.#buffer[this.#at++] = CR;
    this.#buffer[this.#at++] = NEWLINE;
  }

  #put(bytes: Uint8Array, from = 0, to = bytes.byteLength): void {
    const buffer = this.#buffer;
    let at = this.#at;
    if (to - from > FEW_BYTES) buffer.set(bytes.subarray(from, to), at);
    else for (let index = from; index < to; index += 1) buffer[at++] = bytes[index] ?? 0;
    this.#at += to - from;
  }

  #room(sizeBytes: number): void {
    const needed = this.#at + sizeBytes;
    if (this.#buffer.byteLength >= needed) return;
    const free = needed <= ROOM_BYTES ? this.#free.pop() : undefined;
    const larger = free ?? Buffer.allocUnsafeSlow(Math.max(ROOM_BYTES, needed));
    larger.set(this.#buffer.subarray(0, this.#at));
    this.#buffer = larger;
  }
}

/** Of a whole number that is not negative. */
function digitsOf(value: number): number {
  let digits = 1;
  for (let limit = 10; value >= limit; limit *= 10) digits += 1;
  return digits;
}

/** What the command at an index is about; the last one may lack its end. */
function nameIn(bytes: Buffer, index: number): string {
  const starts = new CommandScanner().take(bytes);
  const start = starts?.starts[index] ?? starts?.bytes.byteLength ?? 0;
  // "*4\r\n$7\r\nRESTORE\r\n$3\r\nkey\r\n": its name has 7 letters, and then comes the key.
  const size = bytes.indexOf(DOLLAR, bytes.indexOf(DOLLAR, start) + 1) + 1;
  const from = bytes.indexOf(NEWLINE, size) + 1;
  const key = bytes.subarray(from, from + Number(bytes.toString('latin1', size, from - 2)));
  const isRestore = bytes.indexOf('RESTORE', start) < size && bytes.indexOf('RESTORE', start) > 0;
  return isRestore ? `the key ${quoted(key.toString())}` : `the database ${key.toString()}`;
}
