import { TidemarkError } from '../../../core/errors.ts';
import { must } from '../../../core/must.ts';

/**
 * What a serialized value consists of, one after another: a string, a length, a number as text, so many bytes, a time, the annotated values of a module,
 * or a length and then so many times what follows.
 */
export type Step = 'string' | 'length' | 'double' | 'time' | 'module' | number | { readonly each: readonly Step[] };

const STRING: readonly Step[] = ['string'];
const PAIRS: readonly Step[] = [{ each: ['string', 'string'] }];

/** Entry's id, when it was delivered, how often. */
const PENDING: Step = { each: [16, 8, 'length'] };
const STREAM_HEAD: readonly Step[] = [{ each: ['string', 'string'] }, 'length', 'length', 'length'];
/** First id, highest deleted id, entries ever added. */
const STREAM_COUNTS: readonly Step[] = ['length', 'length', 'length', 'length', 'length'];

function streamGroups(group: readonly Step[], consumer: readonly Step[]): Step {
  return { each: ['string', 'length', 'length', ...group, PENDING, { each: ['string', ...consumer, { each: [16] }] }] };
}

/** How the values of each type of RDB are laid out. */
const SHAPES: ReadonlyMap<number, readonly Step[]> = new Map<number, readonly Step[]>([
  [0, STRING],
  [1, [{ each: STRING }]],
  [2, [{ each: STRING }]],
  [3, [{ each: ['string', 'double'] }]],
  [4, PAIRS],
  [5, [{ each: ['string', 8] }]],
  [7, ['length', 'module']],
  [9, STRING],
  [10, STRING],
  [11, STRING],
  [12, STRING],
  [13, STRING],
  [14, [{ each: STRING }]],
  [15, [...STREAM_HEAD, streamGroups([], [8])]],
  [16, STRING],
  [17, STRING],
  [18, [{ each: ['length', 'string'] }]],
  [19, [...STREAM_HEAD, ...STREAM_COUNTS, streamGroups(['length'], [8])]],
  [20, STRING],
  [21, [...STREAM_HEAD, ...STREAM_COUNTS, streamGroups(['length'], [8, 8])]],
  [22, [{ each: ['string', 'string', 'time'] }]],
  [24, [8, { each: ['length', 'string', 'string'] }]],
  [25, [8, 'string']],
]);

/**
 * A hash whose fields expire, in milliseconds: of Redis as a table and as a listpack, which both begin with the least expiry; and of Valkey, where each field
 * has its own, -1 for none.
 */
export const HASH_METADATA = 24;
export const HASH_LISTPACK_EX = 25;
export const VALKEY_HASH = 22;

export function hasFieldTimes(type: number): boolean {
  return type === HASH_METADATA || type === HASH_LISTPACK_EX || type === VALKEY_HASH;
}

/** Valkey's own numbers for RDBs begin here; but for that hash, they hold what Redis has in this one. */
const VALKEY_RDB = 80;
const REDIS_RDB_OF_VALKEY = 11;

/** The least version that whoever reads a value of an RDB has to know. */
export function valueVersion(type: number, version: number): number {
  return version >= VALKEY_RDB && type !== VALKEY_HASH ? REDIS_RDB_OF_VALKEY : version;
}

/** Whether a hash whose fields expire is of a kind that the version has: what Valkey counts as Redis counted otherwise before a release. */
export function isOfVersion(type: number, version: number): boolean {
  return (type === VALKEY_HASH) === version >= VALKEY_RDB;
}

/** What an RDB of that version begins with. */
export function rdbHeader(version: number): string {
  return version >= VALKEY_RDB
    ? `VALKEY${String(version).padStart(3, '0')}`
    : `REDIS${String(version).padStart(4, '0')}`;
}

const ONE_STRING: readonly boolean[] = Array.from({ length: 32 }, (_, type) => SHAPES.get(type) === STRING);

/** A value of the type is one string, encoded in whatever way. */
export function isOneString(type: number): boolean {
  return ONE_STRING[type] === true;
}

/** Undefined for a type that is not known. */
export function shapeOf(type: number): readonly Step[] | undefined {
  return SHAPES.get(type);
}

/** What a module writes: kinds and values until kind 0. */
const MODULE_VALUES: readonly (readonly Step[] | undefined)[] = [
  undefined,
  ['length'],
  ['length'],
  [4],
  [8],
  ['string'],
];

type Frame = { steps: readonly Step[]; index: number; left: number };

/** What the last call of `takeLength` read. */
type Length = { value: number; encoding: number };

const NEEDS_MORE = -1;
const TIME_BYTES = 8;

/** Finds the end of serialized values in bytes that come piece by piece, whatever their size. Decodes nothing. */
export class ValueSkipper {
  readonly #frames: Frame[] = [];
  readonly #length: Length = { value: 0, encoding: NEEDS_MORE };
  readonly #onTime: ((at: number) => void) | undefined;
  #depth = 0;
  #toPass = 0;

  /** `onTime`: where in the bytes a time stands, which is all there. */
  constructor(onTime?: (at: number) => void) {
    this.#onTime = onTime;
  }

  begin(shape: readonly Step[]): void {
    this.#depth = 0;
    this.#toPass = 0;
    this.#push(shape, 1);
  }

  get isDone(): boolean {
    return this.#depth === 0;
  }

  /** Goes on, and returns where it stopped: at the value's end, or where more bytes are needed; then those from there on must come again. */
  run(bytes: Uint8Array, from: number, end: number): number {
    let at = from;
    while (this.#depth > 0) {
      if (this.#toPass > 0) {
        const passed = Math.min(this.#toPass, end - at);
        at += passed;
        this.#toPass -= passed;
        if (this.#toPass > 0) return at;
      }
      const frame = must(this.#frames[this.#depth - 1], 'a frame');
      const step = frame.steps[frame.index];
      if (step === undefined) {
        frame.index = 0;
        frame.left -= 1;
        if (frame.left <= 0) this.#depth -= 1;
        continue;
      }
      // Nearly all that values consist of.
      const behind = step === 'string' ? stringEnd(bytes, at, end) : NEEDS_MORE;
      if (behind !== NEEDS_MORE) {
        frame.index += 1;
        at = behind;
        continue;
      }
      const next = this.#step(frame, step, { bytes, at, end });
      if (next === NEEDS_MORE) return at;
      at = next;
    }
    return at;
  }

  #step(frame: Frame, step: Step, place: Place): number {
    if (typeof step === 'number') {
      frame.index += 1;
      this.#toPass = step;
      return place.at;
    }
    if (typeof step === 'object') {
      const next = this.#takeCount(place);
      if (next === NEEDS_MORE) return next;
      frame.index += 1;
      if (this.#length.value > 0) this.#push(step.each, this.#length.value);
      return next;
    }
    if (step === 'module') return this.#module(frame, place);
    if (step === 'time') {
      if (place.end - place.at < TIME_BYTES) return NEEDS_MORE;
      this.#onTime?.(place.at);
      frame.index += 1;
      return place.at + TIME_BYTES;
    }
    const next = step === 'string' ? this.#string(place) : step === 'length' ? this.#takeCount(place) : double(place);
    if (next === NEEDS_MORE) return next;
    frame.index += 1;
    if (step === 'double') this.#toPass = doubleBytes(place.bytes[place.at] ?? 0);
    return next;
  }

  #string(place: Place): number {
    const next = takeLength(place, this.#length);
    if (next === NEEDS_MORE) return next;
    const { encoding, value } = this.#length;
    if (encoding < 0) {
      this.#toPass = value;
      return next;
    }
    if (encoding < LZF) {
      this.#toPass = 1 << encoding;
      return next;
    }
    if (encoding > LZF) throw damaged(`a string in an encoding that does not exist (${encoding})`);
    const behindCompressed = this.#takeCount({ ...place, at: next });
    if (behindCompressed === NEEDS_MORE) return NEEDS_MORE;
    const compressed = this.#length.value;
    const behindLengths = this.#takeCount({ ...place, at: behindCompressed });
    if (behindLengths === NEEDS_MORE) return NEEDS_MORE;
    this.#toPass = compressed;
    return behindLengths;
  }

  /** Stays at this step until the module's values end. */
  #module(frame: Frame, place: Place): number {
    const next = this.#takeCount(place);
    if (next === NEEDS_MORE) return next;
    const kind = this.#length.value;
    if (kind === 0) {
      frame.index += 1;
      return next;
    }
    const steps = MODULE_VALUES[kind];
    if (steps === undefined) throw damaged(`a module’s value of a kind that does not exist (${kind})`);
    this.#push(steps, 1);
    return next;
  }

  #takeCount(place: Place): number {
    const next = takeLength(place, this.#length);
    if (next !== NEEDS_MORE && this.#length.encoding >= 0) throw damaged('a string where a length belongs');
    return next;
  }

  #push(steps: readonly Step[], left: number): void {
    const frame = this.#frames[this.#depth];
    if (frame === undefined) this.#frames.push({ steps, index: 0, left });
    else Object.assign(frame, { steps, index: 0, left });
    this.#depth += 1;
  }
}

export type Place = { readonly bytes: Uint8Array; readonly at: number; readonly end: number };

const LZF = 3;

/**
 * Reads a length, or the encoding of a string that has none (`encoding` is -1 for a length). Returns the place behind it, or -1 when more bytes are needed.
 */
export function takeLength({ bytes, at, end }: Place, into: Length): number {
  if (at >= end) return NEEDS_MORE;
  const first = bytes[at] ?? 0;
  into.encoding = -1;
  if (first < 0x40) {
    into.value = first;
    return at + 1;
  }
  if (first < 0x80) {
    if (end - at < 2) return NEEDS_MORE;
    into.value = ((first & 0x3f) << 8) | (bytes[at + 1] ?? 0);
    return at + 2;
  }
  if (first >= 0xc0) {
    into.encoding = first & 0x3f;
    into.value = 0;
    return at + 1;
  }
  const size = first === 0x80 ? 4 : 8;
  if (first > 0x81) throw damaged(`a length that begins with 0x${first.toString(16)}`);
  if (end - at < 1 + size) return NEEDS_MORE;
  let value = 0;
  for (let index = 1; index <= size; index += 1) value = value * 256 + (bytes[at + index] ?? 0);
  // Ids of modules and of streams are lengths, too, so that any number is one; beyond 2^53 it is only passed.
  into.value = value;
  return at + 1 + size;
}

/** Where a string ends; -1 where it goes on behind `end`, and where its encoding is a rare one or none, which others look into. */
export function stringEnd(bytes: Uint8Array, at: number, end: number): number {
  if (at + 1 >= end) return NEEDS_MORE;
  const first = bytes[at] ?? 0;
  let next: number;
  if (first < 0x40) next = at + 1 + first;
  else if (first < 0x80) next = at + 2 + (((first & 0x3f) << 8) | (bytes[at + 1] ?? 0));
  else if (first >= 0xc0 && first < 0xc0 + LZF) next = at + 1 + (1 << (first & 0x3f));
  else if (first === 0xc0 + LZF) next = compressedEnd(bytes, at + 1);
  else return NEEDS_MORE;
  return next <= end ? next : NEEDS_MORE;
}

/** Behind two lengths of at most 14 bits, which may lie behind the end: then so does what they tell. */
function compressedEnd(bytes: Uint8Array, at: number): number {
  const first = bytes[at] ?? 0;
  if (first >= 0x80) return Infinity;
  const isShort = first < 0x40;
  const behind = at + (isShort ? 1 : 2);
  const whole = bytes[behind] ?? 0;
  if (whole >= 0x80) return Infinity;
  return behind + (whole < 0x40 ? 1 : 2) + (isShort ? first : ((first & 0x3f) << 8) | (bytes[at + 1] ?? 0));
}

/** One byte, then as many as `doubleBytes` says. */
function double({ at, end }: Place): number {
  return at < end ? at + 1 : NEEDS_MORE;
}

/** 253 to 255: not a number and the infinities. */
function doubleBytes(first: number): number {
  return first >= 253 ? 0 : first;
}

function damaged(what: string): TidemarkError {
  return new TidemarkError('REPOSITORY_DAMAGED', `the RDB holds ${what}`);
}
