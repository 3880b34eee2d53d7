import { TidemarkError } from '../../../core/errors.ts';
import { must } from '../../../core/must.ts';
import { quoted } from '../../../core/printable.ts';
import { CRC64_BYTES, createCrc64 } from './crc64.ts';
import { takeString } from './rdb-string.ts';
import type { Step } from './value-skipper.ts';
import { timesOf } from './field-times.ts';
import {
  hasFieldTimes,
  isOneString,
  shapeOf,
  stringEnd,
  takeLength,
  ValueSkipper,
  valueVersion,
  VALKEY_HASH,
} from './value-skipper.ts';

/**
 * A key with its value as it is serialized, both by their places: there are so many that a view of each would be most of the work. The key is what lies from `keyFrom` to `keyTo` in `keyIn`, see `keyOf`; the value in the same way, and in the
 * batch's `raw`, see `valueOf`. `valueIn` is absent where the value is too large to be held; then it is what lies at `at` in the RDB, `sizeBytes` long.
 * `checksum` is that of its RESTORE payload; some that are held have none. `expiresAtMs`: since 1970. `idleSeconds`, `frequency`: for eviction.
 */
export type RdbKey = {
  readonly kind: 'key';
  readonly database: number;
  readonly type: number;
  readonly keyIn: Uint8Array;
  readonly keyFrom: number;
  readonly keyTo: number;
  readonly valueIn: Uint8Array | undefined;
  readonly valueFrom: number;
  readonly expiresAtMs: number | undefined;
  readonly idleSeconds: number | undefined;
  readonly frequency: number | undefined;
  readonly at: number;
  readonly sizeBytes: number;
  readonly checksum: Uint8Array | undefined;
};

/** A view, valid as long as the batch. */
export function keyOf({ keyIn, keyFrom, keyTo }: Pick<RdbKey, 'keyIn' | 'keyFrom' | 'keyTo'>): Uint8Array {
  return keyIn.subarray(keyFrom, keyTo);
}

/** A view, valid as long as the batch; undefined where the value is not held. */
export function valueOf({ valueIn, valueFrom, sizeBytes }: RdbKey): Uint8Array | undefined {
  return valueIn?.subarray(valueFrom, valueFrom + sizeBytes);
}

/**
 * `time`: where in `raw` it stands when the next key expires, in milliseconds since 1970 (8 bytes, little-endian) or in seconds (4 bytes). `fieldTime`: the same
 * of a hash whose value is not held: of Redis of its first field, of Valkey of each. Whoever copies the RDB may change them in place. `function`: a library as it is serialized.
 * `moduleAux`: what a module keeps beside keys. `end`: the size with the checksum.
 */
export type RdbItem =
  | RdbKey
  | { readonly kind: 'aux'; readonly name: string; readonly value: string }
  | { readonly kind: 'database'; readonly index: number }
  | { readonly kind: 'time'; readonly bytes: Uint8Array }
  | { readonly kind: 'fieldTime'; readonly type: number; readonly bytes: Uint8Array }
  | { readonly kind: 'function'; readonly library: Uint8Array }
  | { readonly kind: 'moduleAux'; readonly module: string }
  /** Slots that a server of a cluster was taking in: keys of theirs that follow were not its own yet. Before all keys. */
  | { readonly kind: 'slotImport' }
  | { readonly kind: 'end'; readonly sizeBytes: number };

/**
 * `raw`: the RDB's bytes, one batch after another all of them but for the checksum at the end. Batches, and what they hold, are valid until the next one is
 * pulled.
 */
export type RdbBatch = { readonly version: number; readonly items: readonly RdbItem[]; readonly raw: Uint8Array };

export type RdbOptions = {
  /** Values that are larger are not held. The memory that is taken is about twice that. */
  readonly mostHeldBytes?: number | undefined;
  /** Whoever sends the values anew needs the checksums of their payloads, also of those that are held. */
  readonly checksums?: boolean | undefined;
};

/** Below this a checksum is computed faster from the bytes than from that of the RDB. */
const LEAST_DERIVED_BYTES = 256;

const MOST_HELD_BYTES = 1 << 20;
/** What a name, a library or a key may have at most in Redis. */
const MOST_STRING_BYTES = 2 ** 29 + 64;
const HEADER_BYTES = 9;

const OP = {
  slotImport: 243,
  slotInfo: 244,
  function2: 245,
  functionPreRelease: 246,
  moduleAux: 247,
  idle: 248,
  frequency: 249,
  aux: 250,
  sizes: 251,
  expiresMs: 252,
  expiresSeconds: 253,
  database: 254,
  end: 255,
} as const;

const FIRST_OP = OP.slotImport;

/** Of modules' data beside keys, behind the operation: module's id, a marker and when it is read, then values. */
const MODULE_AUX: readonly Step[] = ['length', 'length', 'length', 'module'];
const NO_KEY = new Uint8Array(0);
/** The name of the move, and ranges of slots. */
const SLOT_IMPORT: readonly Step[] = ['string', { each: ['length', 'length'] }];

const TYPE_NAMES: ReadonlyMap<number, string> = new Map([
  [6, 'a module’s value of a release candidate'],
  [VALKEY_HASH, 'a hash with expiring fields of a release candidate'],
  [23, 'a hash with expiring fields of a release candidate'],
  [26, 'a stream of Redis 8.6 or later'],
  [27, 'a stream of a later Redis'],
]);

/**
 * Reads an RDB of Redis 5 to 7.4, or of Valkey, structurally: values are passed over, not decoded. Its checksum is verified at the end, unless it was written without one.
 * Pull-based; holds one value of `mostHeldBytes` at most, but any key. Pieces are copied. @throws UNSUPPORTED naming what can't be passed, REPOSITORY_DAMAGED
 */
export async function* readRdb(pieces: AsyncIterable<Uint8Array>, options: RdbOptions = {}): AsyncGenerator<RdbBatch> {
  const parser = new RdbParser(options);
  for await (const piece of pieces) {
    for (let from = 0; from < piece.byteLength; ) {
      from += parser.take(piece, from);
      const batch = parser.parse();
      if (batch !== undefined) yield batch;
    }
  }
  parser.finish();
}

/** The same over an RDB that is in memory. */
export async function* piecesOf(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

/** A value that is being passed. `from`: in the buffer, of what is held of it; `start`: in the RDB. */
type OpenValue = {
  readonly what: number | 'moduleAux' | 'slotImport';
  key: Uint8Array;
  readonly start: number;
  from: number;
  isHeld: boolean;
};

type PassedKey = Pick<RdbKey, 'type' | 'keyIn' | 'keyFrom' | 'keyTo' | 'valueIn' | 'valueFrom' | 'at'>;

class RdbParser {
  readonly #mostHeldBytes: number;
  readonly #withChecksums: boolean;
  readonly #skipper = new ValueSkipper((at) => this.#timeAt(at));
  readonly #crc = createCrc64();
  readonly #length = { value: 0, encoding: -1 };
  #bytes: Uint8Array;
  /** Where in the RDB the buffer begins. */
  #base = 0;
  /** What lies before it in the buffer has been given out. */
  #given = 0;
  /** What lies before it in the buffer is in the checksum. */
  #summed = 0;
  #at = 0;
  #end = 0;
  #version = 0;
  #isValkey = false;
  #database = 0;
  #items: RdbItem[] = [];
  #open: OpenValue | undefined;
  #expiresAtMs: number | undefined;
  #idleSeconds: number | undefined;
  #frequency: number | undefined;
  #trailer: 'ahead' | 'now' | 'passed' = 'ahead';

  constructor({ mostHeldBytes = MOST_HELD_BYTES, checksums = false }: RdbOptions) {
    this.#mostHeldBytes = Math.max(mostHeldBytes, 64);
    this.#withChecksums = checksums;
    this.#bytes = this.#crc.room(this.#mostHeldBytes * 2);
  }

  /** Takes as much of the piece as there is room for, at least one byte; what was given out is given up. */
  take(piece: Uint8Array, from: number): number {
    this.#compact();
    if (this.#end === this.#bytes.byteLength) this.#grow();
    const count = Math.min(piece.byteLength - from, this.#bytes.byteLength - this.#end);
    this.#bytes.set(piece.subarray(from, from + count), this.#end);
    this.#end += count;
    return count;
  }

  parse(): RdbBatch | undefined {
    this.#items = [];
    while (this.#next());
    if (this.#open !== undefined) this.#keepOpen(this.#open);
    const given = this.#given;
    this.#given = this.#open?.isHeld === true ? this.#open.from : this.#at;
    const raw = this.#bytes.subarray(given, this.#trailer === 'now' ? this.#at - CRC64_BYTES : this.#given);
    if (this.#trailer === 'now') this.#trailer = 'passed';
    else this.#sum(this.#given);
    if (raw.byteLength === 0 && this.#items.length === 0) return undefined;
    return { version: this.#version, items: this.#items, raw };
  }

  finish(): void {
    if (this.#trailer !== 'passed') throw this.#damaged('ends too early');
  }

  #compact(): void {
    const keep = this.#given;
    if (keep === 0) return;
    this.#bytes.copyWithin(0, keep, this.#end);
    this.#base += keep;
    this.#end -= keep;
    this.#at -= keep;
    this.#summed -= keep;
    this.#given = 0;
    if (this.#open?.isHeld === true) this.#open.from -= keep;
  }

  /** Something that has to be held whole, such as a key, is larger than the buffer. */
  #grow(): void {
    if (this.#bytes.byteLength > MOST_STRING_BYTES) throw this.#damaged('holds a name that is too long');
    this.#bytes = this.#crc.room(this.#bytes.byteLength * 2);
  }

  /** Reads one thing; false when it is not all there. */
  #next(): boolean {
    if (this.#open !== undefined) return this.#pass(this.#open);
    if (this.#version === 0) return this.#header();
    if (this.#at >= this.#end) return false;
    if (this.#trailer !== 'ahead') throw this.#damaged('goes on behind its end');
    const type = this.#bytes[this.#at] ?? 0;
    return type >= FIRST_OP ? this.#operation(type) : this.#key(type);
  }

  #header(): boolean {
    if (this.#end < HEADER_BYTES) return false;
    const text = Buffer.from(this.#bytes.subarray(0, HEADER_BYTES)).toString('latin1');
    const [, maker, digits] = /^(REDIS|VALKEY)([0-9]{3,4})$/.exec(text) ?? [];
    if (maker === undefined) throw this.#damaged('begins as no RDB does');
    this.#version = Number(digits);
    this.#isValkey = maker === 'VALKEY';
    if (this.#version < 5) {
      throw new TidemarkError('UNSUPPORTED', `the RDB has version ${this.#version}, from before it had a checksum`);
    }
    this.#at = HEADER_BYTES;
    return true;
  }

  #key(type: number): boolean {
    if (this.#wholeKey(type)) return true;
    const taken = takeString(this.#bytes, this.#at + 1, this.#end);
    if (taken === undefined) return false;
    const shape = type === VALKEY_HASH && !this.#isValkey ? undefined : shapeOf(type);
    if (shape === undefined) throw this.#unsupported(type, taken.bytes);
    return this.#begin({ what: type, key: taken.bytes, shape, from: taken.next });
  }

  /** Nearly all keys are as they are and of one string, and have it behind them in the buffer. Others are passed step by step. */
  #wholeKey(type: number): boolean {
    const bytes = this.#bytes;
    const at = this.#at + 1;
    const first = bytes[at] ?? 0;
    // A length of 6 or 14 bits.
    if (first >= 0x80 || !isOneString(type)) return false;
    const keyTo = stringEnd(bytes, at, this.#end);
    const end = keyTo < 0 ? -1 : stringEnd(bytes, keyTo, this.#end);
    if (end < 0) return false;
    this.#at = end;
    const keyFrom = at + (first < 0x40 ? 1 : 2);
    this.#addKey({ type, keyIn: bytes, keyFrom, keyTo, valueIn: bytes, valueFrom: keyTo, at: this.#base + keyTo });
    return true;
  }

  #begin({
    what,
    key,
    shape,
    from,
  }: {
    what: OpenValue['what'];
    key: Uint8Array;
    shape: readonly Step[];
    from: number;
  }): true {
    this.#skipper.begin(shape);
    this.#at = from;
    this.#open = { what, key, start: this.#base + from, from, isHeld: true };
    return true;
  }

  #pass(open: OpenValue): boolean {
    this.#at = this.#skipper.run(this.#bytes, this.#at, this.#end);
    if (!this.#skipper.isDone) return false;
    this.#open = undefined;
    const { what, key, start, isHeld } = open;
    if (typeof what !== 'number') {
      this.#items.push(what === 'moduleAux' ? { kind: what, module: moduleName(key) } : { kind: what });
      return true;
    }
    this.#addKey({
      type: what,
      keyIn: key,
      keyFrom: 0,
      keyTo: key.byteLength,
      valueIn: isHeld ? this.#bytes : undefined,
      valueFrom: open.from,
      at: start,
    });
    return true;
  }

  #mark(type: number, at: number): void {
    this.#sum(at);
    this.#crc.mark(type);
  }

  #sum(to: number): void {
    this.#crc.update(this.#bytes, this.#summed, to);
    this.#summed = to;
  }

  /** That ends here. */
  #addKey({ type, keyIn, keyFrom, keyTo, valueIn, valueFrom, at }: PassedKey): void {
    const sizeBytes = this.#base + this.#at - at;
    const isDerived = valueIn === undefined || (this.#withChecksums && sizeBytes >= LEAST_DERIVED_BYTES);
    if (isDerived && valueIn !== undefined) this.#mark(type, valueFrom);
    if (isDerived) this.#sum(this.#at);
    this.#items.push({
      kind: 'key',
      database: this.#database,
      type,
      keyIn,
      keyFrom,
      keyTo,
      valueIn,
      valueFrom,
      expiresAtMs: this.#expiresAtMs,
      idleSeconds: this.#idleSeconds,
      frequency: this.#frequency,
      at,
      sizeBytes,
      checksum: isDerived ? this.#crc.payload(sizeBytes, valueVersion(type, this.#version)) : undefined,
    });
    this.#expiresAtMs = undefined;
    this.#idleSeconds = undefined;
    this.#frequency = undefined;
  }

  /** More bytes are needed, for which the buffer is moved. A value that is too large by now is let go. */
  #keepOpen(open: OpenValue): void {
    open.key = open.key.slice();
    if (!open.isHeld || this.#at - open.from < this.#mostHeldBytes) return;
    open.isHeld = false;
    if (typeof open.what !== 'number') return;
    this.#mark(open.what, open.from);
    if (!hasFieldTimes(open.what)) return;
    const isFirstOnly = open.what !== VALKEY_HASH;
    const times = isFirstOnly ? [0] : timesOf(this.#bytes.subarray(open.from, this.#at));
    for (const at of times) this.#addFieldTime(open.what, open.from + at);
  }

  /** A field of a hash of Valkey expires then. */
  #timeAt(at: number): void {
    if (this.#open?.isHeld === false) this.#addFieldTime(VALKEY_HASH, at);
  }

  #addFieldTime(type: number, at: number): void {
    this.#items.push({ kind: 'fieldTime', type, bytes: this.#bytes.subarray(at, at + 8) });
  }

  #operation(type: number): boolean {
    const at = this.#at + 1;
    switch (type) {
      case OP.end:
        return this.#trailerAt(at);
      case OP.expiresMs:
        return this.#time(at, 8);
      case OP.expiresSeconds:
        return this.#time(at, 4);
      case OP.frequency:
        if (at >= this.#end) return false;
        this.#frequency = this.#bytes[at] ?? 0;
        this.#at = at + 1;
        return true;
      case OP.idle:
        return this.#lengths(at, 1, ([seconds]) => {
          this.#idleSeconds = seconds;
        });
      case OP.database:
        return this.#lengths(at, 1, ([index]) => {
          this.#database = must(index, 'a length');
          this.#items.push({ kind: 'database', index: this.#database });
        });
      case OP.sizes:
        return this.#lengths(at, 2, () => undefined);
      case OP.slotInfo:
        return this.#lengths(at, 3, () => undefined);
      case OP.slotImport:
        return this.#begin({ what: 'slotImport', key: NO_KEY, shape: SLOT_IMPORT, from: at });
      case OP.aux:
        return this.#aux(at);
      case OP.function2:
        return this.#library(at);
      case OP.moduleAux:
        if (this.#end - at < HEADER_BYTES) return false;
        return this.#begin({
          what: 'moduleAux',
          key: this.#bytes.slice(at, at + HEADER_BYTES),
          shape: MODULE_AUX,
          from: at,
        });
      default:
        throw new TidemarkError('UNSUPPORTED', `the RDB holds functions of a release candidate of Redis 7`);
    }
  }

  #trailerAt(at: number): boolean {
    if (this.#end - at < CRC64_BYTES) return false;
    this.#sum(at);
    const checksum = new Uint8Array(CRC64_BYTES);
    this.#crc.write(checksum, 0);
    const stored = this.#bytes.subarray(at, at + CRC64_BYTES);
    // A server that is told to write no checksum writes zero.
    if (Buffer.compare(stored, checksum) !== 0 && stored.some((byte) => byte !== 0)) {
      throw this.#damaged('does not have the checksum that stands at its end');
    }
    this.#at = at + CRC64_BYTES;
    this.#trailer = 'now';
    this.#items.push({ kind: 'end', sizeBytes: this.#base + this.#at });
    return true;
  }

  #time(at: number, sizeBytes: 4 | 8): boolean {
    if (this.#end - at < sizeBytes) return false;
    const bytes = this.#bytes.subarray(at, at + sizeBytes);
    const view = new DataView(bytes.buffer, bytes.byteOffset, sizeBytes);
    this.#expiresAtMs = sizeBytes === 4 ? view.getUint32(0, true) * 1000 : Number(view.getBigInt64(0, true));
    this.#items.push({ kind: 'time', bytes });
    this.#at = at + sizeBytes;
    return true;
  }

  #lengths(from: number, count: number, take: (values: readonly number[]) => void): boolean {
    const values: number[] = [];
    let at = from;
    while (values.length < count) {
      at = takeLength({ bytes: this.#bytes, at, end: this.#end }, this.#length);
      if (at < 0) return false;
      if (this.#length.encoding >= 0) throw this.#damaged('has a string where a length belongs');
      values.push(this.#length.value);
    }
    this.#at = at;
    take(values);
    return true;
  }

  #aux(at: number): boolean {
    const name = takeString(this.#bytes, at, this.#end);
    const value = name && takeString(this.#bytes, name.next, this.#end);
    if (value === undefined) return false;
    this.#items.push({ kind: 'aux', name: textOf(name?.bytes), value: textOf(value.bytes) });
    this.#at = value.next;
    return true;
  }

  #library(at: number): boolean {
    const taken = takeString(this.#bytes, at, this.#end);
    if (taken === undefined) return false;
    this.#items.push({ kind: 'function', library: this.#bytes.subarray(at, taken.next) });
    this.#at = taken.next;
    return true;
  }

  #unsupported(type: number, key: Uint8Array): TidemarkError {
    const what = TYPE_NAMES.get(type) ?? `a value of type ${type}, which this Tidemark does not know`;
    return new TidemarkError('UNSUPPORTED', `the key ${quoted(textOf(key))} of database ${this.#database} is ${what}`);
  }

  #damaged(what: string): TidemarkError {
    return new TidemarkError('REPOSITORY_DAMAGED', `the RDB ${what}, at byte ${this.#base + this.#at}`);
  }
}

function textOf(bytes: Uint8Array | undefined): string {
  return Buffer.from(bytes ?? []).toString();
}

const MODULE_LETTERS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';

/** An id is a 64-bit length: nine letters of six bits, and the version of the module's format. */
function moduleName(length: Uint8Array): string {
  if (length[0] !== 0x81) return 'of an unknown name';
  let bits = Buffer.from(length).readBigUInt64BE(1) >> 10n;
  let name = '';
  for (let index = 0; index < 9; index += 1, bits >>= 6n) name = `${MODULE_LETTERS[Number(bits & 63n)] ?? ''}${name}`;
  return name;
}
