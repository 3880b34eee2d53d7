import { TidemarkError } from '../../../core/errors.ts';
import { must } from '../../../core/must.ts';
import { quoted } from '../../../core/printable.ts';
import type { Run } from '../../../core/run.ts';
import type { ExpiryMap } from '../commands/command-filter.ts';
import type { KeyFilter } from '../key-patterns.ts';
import type { Pipeline } from '../pipeline.ts';
import { CRC64_BYTES, createCrc64 } from '../rdb/crc64.ts';
import { moveFieldTimes, moveTime, moveTimesIn } from '../rdb/field-times.ts';
import { keyOf, readRdb, valueOf } from '../rdb/rdb-reader.ts';
import type { RdbKey } from '../rdb/rdb-reader.ts';
import { functionsPayload, RestoreWriter } from '../rdb/restore-writer.ts';
import { HASH_LISTPACK_EX, hasFieldTimes, VALKEY_HASH, valueVersion } from '../rdb/value-skipper.ts';
import { encodeCommand } from '../resp.ts';
import { filePieces, lentPieces } from './work-files.ts';

/** Where what is restored goes: to one server, or to the masters of a cluster. `routeOf`: which one has a key, by its index. */
export type Routed = { readonly pipelines: readonly Pipeline[]; readonly routeOf: (key: Uint8Array) => number };

export function routedTo(pipeline: Pipeline): Routed {
  return { pipelines: [pipeline], routeOf: () => 0 };
}

export async function settleAll({ pipelines }: Routed): Promise<void> {
  for (const pipeline of pipelines) await pipeline.settle();
}

export type LoadOptions = {
  readonly path: string;
  readonly into: Routed;
  /** Of keys; `fieldShiftMs`: how much later fields of hashes expire. */
  readonly expiry: ExpiryMap | undefined;
  readonly fieldShiftMs: number;
  /** Only these keys, which may be there already; and no functions. */
  readonly only?: KeyFilter | undefined;
  /** But for these keys. */
  readonly leavesOut?: ((key: Uint8Array) => boolean) | undefined;
};

const SEND_BYTES = 192 * 1024;
/** Functions are as old. */
const STRING = 0;

/**
 * Sends what an RDB holds to a server by RESTORE, its functions by FUNCTION RESTORE. What is larger than a piece is read from the file as it is sent.
 * Not all is answered when it resolves. @throws UNSUPPORTED, REPOSITORY_DAMAGED, RESTORE_FAILED naming the key that the server refuses
 */
export async function loadRdb(options: LoadOptions, run: Run): Promise<{ readonly keys: number }> {
  const { path, into, expiry, fieldShiftMs, only, leavesOut } = options;
  const lanes = into.pipelines.map((pipeline) => ({
    pipeline,
    writer: new RestoreWriter({ replace: only !== undefined }),
  }));
  const libraries: Uint8Array[] = [];
  let keys = 0;
  for await (const { items, version } of readRdb(lentPieces(path, run), { checksums: true })) {
    for (const item of items) {
      if (only === undefined && item.kind === 'moduleAux') throw moduleAux(item.module);
      if (item.kind === 'function' && only === undefined) libraries.push(item.library.slice());
      if (item.kind === 'end' && libraries.length > 0) {
        const payload = functionsPayload(libraries, valueVersion(STRING, version));
        const describe = (): string => 'the functions';
        const bytes = [encodeCommand(['FUNCTION', 'RESTORE', payload, 'REPLACE'])];
        for (const { pipeline } of lanes) await pipeline.send({ bytes, count: 1, describe }, run);
      }
      if (item.kind !== 'key' || only?.(item.database, keyOf(item)) === false) continue;
      if (leavesOut?.(keyOf(item)) === true) continue;
      keys += 1;
      const { expiresAtMs } = item;
      const word = {
        version: valueVersion(item.type, version),
        expiresAtMs: expiresAtMs === undefined ? undefined : expiryOf(expiresAtMs, expiry),
      };
      const lane = lanes.length === 1 ? 0 : into.routeOf(keyOf(item));
      const { pipeline, writer } = must(lanes[lane], 'where the key goes');
      if (item.valueIn === undefined) await sendLarge({ path, fieldShiftMs, pipeline, writer, item, word }, run);
      else writer.add(item, movedValue(item, fieldShiftMs), word);
      if (writer.sizeBytes >= SEND_BYTES) await pipeline.send(writer.take(), run);
    }
  }
  for (const { pipeline, writer } of lanes) await pipeline.send(writer.take(), run);
  return { keys };
}

/** Undefined where it is as it was. */
function movedValue(item: RdbKey, shiftMs: number): Uint8Array | undefined {
  if (shiftMs === 0 || !hasFieldTimes(item.type)) return undefined;
  return moveFieldTimes(item.type, must(valueOf(item), 'a value that is held'), shiftMs);
}

/** 0 would mean that the key never expires. */
function expiryOf(atMs: number, expiry: ExpiryMap | undefined): number {
  return Math.max(1, expiry === undefined ? atMs : expiry(atMs));
}

type LargeKey = Pick<LoadOptions, 'path' | 'fieldShiftMs'> & {
  readonly pipeline: Pipeline;
  readonly writer: RestoreWriter;
  readonly item: RdbKey;
  readonly word: Parameters<RestoreWriter['open']>[1];
};

async function sendLarge({ writer, item, word, path, pipeline, fieldShiftMs }: LargeKey, run: Run): Promise<void> {
  const isMoved = hasFieldTimes(item.type) && fieldShiftMs !== 0;
  if (isMoved && isUnmovable(item)) throw unmovable(quoted(Buffer.from(keyOf(item)).toString()));
  const pieces = (): AsyncIterable<Uint8Array> => valuePieces(path, item, isMoved ? fieldShiftMs : 0, run);
  const checksum = isMoved ? await checksumOf(item.type, pieces(), word.version) : must(item.checksum, 'a checksum');
  writer.open(item, word);
  await pipeline.send(writer.take(), run);
  for await (const piece of pieces()) await pipeline.sendMore(piece, run);
  await pipeline.sendMore(writer.endOf(item, checksum, word), run);
}

async function* valuePieces(
  path: string,
  { type, at, sizeBytes }: RdbKey,
  shiftMs: number,
  run: Run,
): AsyncGenerator<Uint8Array> {
  let isFirst = true;
  const pieces = filePieces(path, run, { from: at, to: at + sizeBytes });
  if (type === VALKEY_HASH && shiftMs !== 0) {
    yield* moveTimesIn(pieces, shiftMs);
    return;
  }
  for await (const piece of pieces) {
    if (isFirst && shiftMs !== 0) moveTime(piece, 0, shiftMs);
    isFirst = false;
    yield piece;
  }
}

async function checksumOf(type: number, pieces: AsyncIterable<Uint8Array>, version: number): Promise<Uint8Array> {
  const crc = createCrc64();
  crc.update(Uint8Array.of(type));
  for await (const piece of pieces) crc.update(piece);
  crc.update(Uint8Array.of(version & 0xff, version >> 8));
  const checksum = new Uint8Array(CRC64_BYTES);
  crc.write(checksum, 0);
  return checksum;
}

/** The expiry of its fields can't be moved on the way. Its listpack has at most so many fields that it is never large, unless somebody configured that. */
export function isUnmovable({ type, valueIn }: RdbKey): boolean {
  return valueIn === undefined && type === HASH_LISTPACK_EX;
}

export function unmovable(name: string): TidemarkError {
  return new TidemarkError('UNSUPPORTED', `the hash ${name} is too large to move the expiry of its fields`, {
    hint: 'Restore with `expiry: absolute`, or into files.',
  });
}

/** What no command can give to a server. */
export function moduleAux(module: string): TidemarkError {
  return new TidemarkError(
    'UNSUPPORTED',
    `the module ${module} keeps data beside the keys, which no command can give to a server`,
    { hint: 'Restore into files with --into FOLDER, and start a server with that module on them.' },
  );
}

/** How many keys of an RDB are meant. */
export async function countMatching(path: string, only: KeyFilter, run: Run): Promise<number> {
  let count = 0;
  for await (const { items } of readRdb(lentPieces(path, run))) {
    for (const item of items) if (item.kind === 'key' && only(item.database, keyOf(item))) count += 1;
  }
  return count;
}
