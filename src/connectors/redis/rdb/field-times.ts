import { TidemarkError } from '../../../core/errors.ts';
import { takeString } from './rdb-string.ts';
import { must } from '../../../core/must.ts';
import { HASH_METADATA, hasFieldTimes, shapeOf, VALKEY_HASH, ValueSkipper } from './value-skipper.ts';

/** What stands for no expiry where one belongs, and what is beyond what a field may have. */
const LAST_MS = 2 ** 48 - 2;
const TIME_BYTES = 8;
const HEADER_BYTES = 6;
const END = 0xff;
const INT64 = 0xf4;

/** The serialized value of a hash whose fields expire, with their expiries moved. All others come back as they are. */
export function moveFieldTimes(type: number, value: Uint8Array, shiftMs: number): Uint8Array {
  if (!hasFieldTimes(type) || shiftMs === 0) return value;
  if (type === HASH_METADATA) {
    // The fields' own are relative to the one at the front.
    const moved = Buffer.from(value);
    moveTime(moved, 0, shiftMs);
    return moved;
  }
  if (type === VALKEY_HASH) {
    const moved = Buffer.from(value);
    for (const at of timesOf(moved)) moveTime(moved, at, shiftMs);
    return moved;
  }
  const taken = takeString(value, TIME_BYTES, value.byteLength);
  if (taken === undefined) throw damaged();
  const head = Buffer.alloc(TIME_BYTES + 5);
  head.set(value.subarray(0, TIME_BYTES));
  moveTime(head, 0, shiftMs);
  head[TIME_BYTES] = 0x80;
  head.writeUInt32BE(taken.bytes.byteLength, TIME_BYTES + 1);
  const list = Buffer.from(taken.bytes);
  moveListed(list, shiftMs);
  return Buffer.concat([head, list]);
}

/** Where the expiries of fields stand in a hash of Valkey, or in the beginning of one. */
export function timesOf(value: Uint8Array): readonly number[] {
  const times: number[] = [];
  const skipper = new ValueSkipper((at) => times.push(at));
  skipper.begin(must(shapeOf(VALKEY_HASH), 'the shape of a hash'));
  skipper.run(value, 0, value.byteLength);
  return times;
}

/** A hash of Valkey that comes in pieces, with the expiries of its fields moved. */
export async function* moveTimesIn(pieces: AsyncIterable<Uint8Array>, shiftMs: number): AsyncGenerator<Uint8Array> {
  let times: number[] = [];
  const skipper = new ValueSkipper((at) => times.push(at));
  skipper.begin(must(shapeOf(VALKEY_HASH), 'the shape of a hash'));
  let rest: Uint8Array = new Uint8Array(0);
  for await (const piece of pieces) {
    times = [];
    const bytes = Buffer.concat([rest, piece]);
    const end = skipper.run(bytes, 0, bytes.byteLength);
    for (const at of times) moveTime(bytes, at, shiftMs);
    yield bytes.subarray(0, end);
    rest = bytes.subarray(end);
  }
  if (!skipper.isDone || rest.byteLength > 0) throw damaged();
}

export function moveTime(bytes: Buffer, at: number, shiftMs: number): void {
  const time = Number(bytes.readBigUInt64LE(at));
  if (time > 0 && time <= LAST_MS) bytes.writeBigUInt64LE(BigInt(Math.max(1, Math.min(time + shiftMs, LAST_MS))), at);
}

/** Of a listpack every third element is the expiry of the two before it: 0, or a number that needs 8 bytes. */
function moveListed(list: Buffer, shiftMs: number): void {
  let at = HEADER_BYTES;
  for (let index = 0; list[at] !== END; index += 1) {
    if (at >= list.byteLength) throw damaged();
    if (index % 3 === 2 && list[at] === INT64) {
      if (at + 9 > list.byteLength) throw damaged();
      moveTime(list, at + 1, shiftMs);
    } else if (index % 3 === 2 && list[at] !== 0) {
      throw damaged();
    }
    const size = elementBytes(list, at);
    at += size + backLengthBytes(size);
  }
}

/** Encoding and data of a listpack's element. */
function elementBytes(list: Buffer, at: number): number {
  const first = list[at] ?? 0;
  const second = list[at + 1] ?? 0;
  if (first < 0x80) return 1;
  if (first < 0xc0) return 1 + (first & 0x3f);
  if (first < 0xe0) return 2;
  if (first < 0xf0) return 2 + (((first & 0x0f) << 8) | second);
  switch (first) {
    case 0xf0:
      if (at + 5 > list.byteLength) throw damaged();
      return 5 + list.readUInt32LE(at + 1);
    case 0xf1:
      return 3;
    case 0xf2:
      return 4;
    case 0xf3:
      return 5;
    case INT64:
      return 9;
    default:
      throw damaged();
  }
}

/** Behind each element stands how long it is, in as few bytes as that takes. */
function backLengthBytes(size: number): number {
  if (size <= 127) return 1;
  if (size < 16_384) return 2;
  if (size < 2_097_152) return 3;
  return size < 268_435_456 ? 4 : 5;
}

function damaged(): TidemarkError {
  return new TidemarkError('REPOSITORY_DAMAGED', 'the RDB holds a hash whose fields can’t be read');
}
