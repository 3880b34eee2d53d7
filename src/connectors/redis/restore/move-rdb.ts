import { TidemarkError } from '../../../core/errors.ts';
import type { Run } from '../../../core/run.ts';
import type { MovedExpiry } from '../commands/command-filter.ts';
import { CRC64_BYTES, createCrc64 } from '../rdb/crc64.ts';
import { moveFieldTimes, moveTime } from '../rdb/field-times.ts';
import { readRdb, valueOf } from '../rdb/rdb-reader.ts';
import type { RdbBatch } from '../rdb/rdb-reader.ts';
import { HASH_LISTPACK_EX, hasFieldTimes } from '../rdb/value-skipper.ts';
import { lentPieces } from './work-files.ts';

/** The same RDB with all expiries moved, and the checksum that it then has. Pieces are valid until the next. @throws UNSUPPORTED, REPOSITORY_DAMAGED */
export async function* moveRdb(path: string, expiry: MovedExpiry, run: Run): AsyncGenerator<Uint8Array> {
  const crc = createCrc64();
  for await (const batch of readRdb(lentPieces(path, run))) {
    for (const piece of movedPieces(batch, expiry)) {
      crc.update(piece);
      yield piece;
    }
  }
  const checksum = new Uint8Array(CRC64_BYTES);
  crc.write(checksum, 0);
  yield checksum;
}

function* movedPieces({ items, raw }: RdbBatch, { map, fieldShiftMs }: MovedExpiry): Generator<Uint8Array> {
  let from = 0;
  for (const item of items) {
    if (item.kind === 'time') {
      if (item.bytes.byteLength !== 8) {
        throw new TidemarkError('UNSUPPORTED', 'the RDB has expiries in seconds, as no Redis 7 writes');
      }
      const bytes = Buffer.from(item.bytes.buffer, item.bytes.byteOffset, 8);
      bytes.writeBigInt64LE(BigInt(Math.max(1, Math.floor(map(Number(bytes.readBigInt64LE()))))));
    } else if (item.kind === 'fieldTime') {
      if (item.type === HASH_LISTPACK_EX) {
        throw new TidemarkError('UNSUPPORTED', 'the RDB has a hash that is too large to move the expiry of its fields');
      }
      moveTime(Buffer.from(item.bytes.buffer, item.bytes.byteOffset, 8), 0, fieldShiftMs);
    } else if (item.kind === 'key' && hasFieldTimes(item.type)) {
      const value = valueOf(item);
      if (value === undefined) continue;
      const start = value.byteOffset - raw.byteOffset;
      yield raw.subarray(from, start);
      yield moveFieldTimes(item.type, value, fieldShiftMs);
      from = start + value.byteLength;
    }
  }
  yield raw.subarray(from);
}
