import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { logBytes } from '../../../core/log-bytes.ts';
import type { LoggedTransaction, LogReader } from '../../../core/restorer.ts';
import { isTidemarkError } from '../../../core/errors.ts';
import { createSeededRandom } from '../../../flow/random.ts';
import { temporaryFolder } from '../../../testing/tree/temporary-folder.ts';
import { formatLsn, parseLsn, placeOf, positionOf } from '../lsn.ts';
import { formatHistory, historyName, parseHistory, parseHistoryName } from './history.ts';
import { makePageHeader } from './page-header.ts';
import { RecordWalk } from './record-walk.ts';
import { serveLogFile } from './serve-log-file.ts';
import { parseSegmentName, segmentName } from './shape.ts';
import { crc32c, inPlaceRecord, readTablespaceRecord } from './tablespace-record.ts';
import { walBytes } from './wal-bytes.ts';

const run = { signal: new AbortController().signal };
const SHAPE = { majorVersion: 15, systemIdentifier: 7n, pageBytes: 8192, segmentBytes: 1 << 20 };
const START = 3n << 20n;

type Piece = { readonly timeline: number; readonly start: bigint; readonly bytes: Uint8Array };

function transaction({ timeline, start, bytes }: Piece): LoggedTransaction {
  const entry = logBytes(start, bytes);
  assert.ok(!('removed' in entry));
  const position = positionOf({ timeline, lsn: start + BigInt(bytes.byteLength) }, 'l');
  return { entries: [entry], commit: { position, atMs: 0 } };
}

function logOf(pieces: readonly Piece[]): LogReader {
  return {
    async *read() {
      for (const piece of pieces) yield [transaction(piece)];
    },
  };
}

test('places, names of files and histories are written as the server writes them', () => {
  assert.equal(formatLsn(0x16_b374_d848n), '16/B374D848');
  assert.equal(parseLsn('16/B374D848'), 0x16_b374_d848n);
  assert.equal(parseLsn('16/B374D848x'), undefined);
  assert.deepEqual(placeOf(positionOf({ timeline: 3, lsn: 9n }, 'l')), { timeline: 3, lsn: 9n });
  assert.equal(segmentName(1, 0x1_0000_0000n - 1n, 16 << 20), '0000000100000000000000FF');
  assert.equal(segmentName(0x1a, 0x1_0000_0000n, 16 << 20), '0000001A0000000100000000');
  assert.deepEqual(parseSegmentName('0000001A0000000100000002', 16 << 20), { timeline: 26, start: 0x1_0200_0000n });
  assert.equal(parseSegmentName('0000001A.history', 16 << 20), undefined);
  assert.equal(parseHistoryName(historyName(26)), 26);
  const switches = [
    { from: 1, at: 5n },
    { from: 2, at: 0x1_0000_0000n },
  ];
  assert.deepEqual(parseHistory(formatHistory(switches)), switches);
  assert.deepEqual(parseHistory(Buffer.from('# a remark\n1\t0/5\tno recovery target specified\n\n')), [
    { from: 1, at: 5n },
  ]);
  assert.equal(parseHistory(Buffer.from('what is this')), undefined);
});

/** A log of records of random sizes, with the headers of its pages; and where each record ends, as the server counts it. */
function makeLog(seed: number, wantedBytes: number): { readonly bytes: Buffer; readonly ends: readonly bigint[] } {
  const random = createSeededRandom(seed);
  const pieces: Uint8Array[] = [];
  const ends: bigint[] = [];
  let at = START;
  const put = (bytes: Uint8Array): void => {
    for (let left = bytes; left.byteLength > 0; ) {
      if (at % 8192n === 0n) {
        const header = Buffer.from(makePageHeader(at, 1, SHAPE));
        if (left.byteLength < bytes.byteLength) {
          header[2] = (header[2] ?? 0) | 1;
          header.writeUInt32LE(left.byteLength, 16);
        }
        pieces.push(header);
        at += BigInt(header.byteLength);
      }
      const taken = left.subarray(0, Number(8192n - (at % 8192n)));
      pieces.push(taken);
      at += BigInt(taken.byteLength);
      left = left.subarray(taken.byteLength);
    }
  };
  while (at < START + BigInt(wantedBytes)) {
    const record = Buffer.from(random.bytes(24 + random.integer(random.chance(0.1) ? 40_000 : 300)));
    record.writeUInt32LE(record.byteLength, 0);
    record[16] = 0x10;
    record[17] = 10;
    put(record);
    put(Buffer.alloc((8 - (record.byteLength % 8)) % 8));
    ends.push(at);
  }
  return { bytes: Buffer.concat(pieces), ends };
}

function cutUp(bytes: Uint8Array, seed: number): Piece[] {
  const random = createSeededRandom(seed);
  const pieces: Piece[] = [];
  for (let at = 0; at < bytes.byteLength; ) {
    const piece = bytes.subarray(at, at + 1 + random.integer(30_000));
    pieces.push({ timeline: 1, start: START + BigInt(at), bytes: piece });
    at += piece.byteLength;
  }
  return pieces;
}

test('the end of the last whole record is found wherever a log is cut', () => {
  const seed = randomInt(2 ** 31);
  const { bytes, ends } = makeLog(seed, 600_000);
  const random = createSeededRandom(seed + 1);
  for (let count = 0; count < 60; count++) {
    const length = 8 * random.integer(bytes.byteLength / 8);
    const walk = new RecordWalk({ shape: SHAPE, from: START + 40n, isWanted: () => false });
    for (const piece of cutUp(bytes.subarray(0, length), seed + count)) walk.add(piece);
    const wanted = ends.findLast((end) => end <= START + BigInt(length)) ?? START + 40n;
    assert.equal(walk.end, wanted, `seed ${seed}, ${length} bytes`);
  }
});

test('a log is given file by file, the newest with zeros behind what is there', async () => {
  await using folder = temporaryFolder();
  const seed = randomInt(2 ** 31);
  const bytes = Buffer.from(createSeededRandom(seed).bytes((5 << 19) + 7));
  const switchAt = START + (1n << 20n) + 1000n;
  const pieces = cutUp(bytes, seed).flatMap(({ start, bytes: piece }): Piece[] => {
    const left = Number(switchAt - start);
    if (left <= 0) return [{ timeline: 2, start, bytes: piece }];
    if (left >= piece.byteLength) return [{ timeline: 1, start, bytes: piece }];
    const [before, behind] = [piece.subarray(0, left), piece.subarray(left)];
    return [
      { timeline: 1, start, bytes: before },
      { timeline: 2, start: switchAt, bytes: behind },
    ];
  });
  const end = START + BigInt(bytes.byteLength);
  const log = {
    stretches: [
      { after: positionOf({ timeline: 1, lsn: START }, 'l'), upTo: positionOf({ timeline: 2, lsn: end }, 'l') },
    ],
    async *read(after: { readonly order: string }, upTo: { readonly order: string }) {
      for (const { timeline, start, bytes: piece } of pieces) {
        const from = BigInt(after.order) > start ? Number(BigInt(after.order) - start) : 0;
        const kept = piece.subarray(from, Math.max(0, Number(BigInt(upTo.order) - start)));
        if (kept.byteLength > 0) yield [transaction({ timeline, start: start + BigInt(from), bytes: kept })];
      }
    },
  };
  const ask = async (name: string): Promise<Buffer | undefined> => {
    const path = folder.at('wanted');
    const request = { name, path, cacheFolder: folder.at('cache'), ahead: 1 };
    return (await serveLogFile(log, { shape: SHAPE, history: undefined }, request, run))
      ? readFileSync(path)
      : undefined;
  };
  const segment = 1 << 20;
  const name = (timeline: number, index: number): string =>
    segmentName(timeline, START + BigInt(index * segment), segment);
  assert.deepEqual(await ask(name(1, 0)), bytes.subarray(0, segment));
  // Of a timeline that was left nothing is fetched behind where that happened.
  assert.deepEqual(readdirSync(folder.at('cache')), []);
  assert.deepEqual(await ask(name(2, 1)), bytes.subarray(segment, 2 * segment));
  assert.deepEqual(readdirSync(folder.at('cache')), []);
  const left = await ask(name(1, 1));
  assert.deepEqual(left?.subarray(0, 1000), bytes.subarray(segment, segment + 1000));
  assert.ok(left?.subarray(1000).every((byte) => byte === 0));
  const newest = Buffer.concat([bytes.subarray(2 * segment), Buffer.alloc(segment - (bytes.byteLength - 2 * segment))]);
  assert.deepEqual(await ask(name(2, 2)), newest);
  assert.deepEqual(await ask(name(2, 2)), newest);
  for (const absent of [
    name(2, 0),
    name(1, 2),
    name(2, 3),
    name(3, 1),
    name(1, -1),
    '00000003.history',
    `${name(1, 0)}.00000028.backup`,
  ]) {
    assert.equal(await ask(absent), undefined, absent);
  }
  assert.deepEqual(parseHistory((await ask('00000002.history')) ?? Buffer.alloc(0)), [{ from: 1, at: switchAt }]);
});

test('a history tells of switches before the log too, where the base knows them, and no timeline gets that of another', async () => {
  await using folder = temporaryFolder();
  const at = (timeline: number, lsn: bigint) => positionOf({ timeline, lsn }, 'l');
  const [early, late] = [START - 5000n, START + 500n];
  const commits = [at(3, late), at(5, late + 500n)];
  const log = {
    stretches: [{ after: at(3, START), upTo: at(5, late + 500n) }],
    async *read() {
      for (const position of commits) yield [{ entries: [], commit: { position, atMs: 0 } }];
    },
  };
  const known = [{ from: 1, at: early }];
  const ask = async (name: string, history = known): Promise<unknown> => {
    const request = { name, path: folder.at('wanted'), cacheFolder: folder.at('cache'), ahead: 1 };
    const isThere = await serveLogFile(log, { shape: SHAPE, history }, request, run);
    return isThere ? parseHistory(readFileSync(folder.at('wanted'))) : undefined;
  };
  assert.deepEqual(await ask('00000003.history'), known);
  assert.deepEqual(await ask('00000005.history'), [...known, { from: 3, at: late }]);
  assert.deepEqual(await ask('00000005.history', [...known, { from: 3, at: late }]), [...known, { from: 3, at: late }]);
  assert.equal(await ask('00000002.history'), undefined);
  assert.equal(await ask('00000004.history'), undefined);
  assert.equal(await ask('00000006.history'), undefined);
});

test('what another process has in the making stays', async () => {
  await using folder = temporaryFolder();
  const [kept, gone] = [`making-${process.ppid}-a`, `making-${2 ** 22 + 1}-a`];
  for (const name of [kept, gone]) mkdirSync(folder.at('cache', name), { recursive: true });
  const bytes = new Uint8Array(1 << 20);
  const end = positionOf({ timeline: 1, lsn: START + BigInt(bytes.byteLength) }, 'l');
  const log = {
    stretches: [{ after: positionOf({ timeline: 1, lsn: START }, 'l'), upTo: end }],
    async *read() {
      yield [transaction({ timeline: 1, start: START, bytes })];
    },
  };
  const name = segmentName(1, START, SHAPE.segmentBytes);
  const request = { name, path: folder.at('wanted'), cacheFolder: folder.at('cache'), ahead: 0 };
  assert.ok(await serveLogFile(log, { shape: SHAPE, history: undefined }, request, run));
  assert.deepEqual(readdirSync(folder.at('cache')), [kept]);
});

test('a log with a hole, or that ends too early, is not taken for whole', async () => {
  const bytes = new Uint8Array(100);
  const first = { timeline: 1, start: START, bytes };
  const isDamage = (error: unknown): boolean => isTidemarkError(error, 'REPOSITORY_DAMAGED');
  const read = async (pieces: readonly Piece[], end: bigint): Promise<unknown> =>
    await Array.fromAsync(walBytes(logOf(pieces), end, run));
  await assert.rejects(read([first, { ...first, start: START + 101n }], START + 150n), isDamage);
  await assert.rejects(read([first], START + 101n), isDamage);
  await assert.rejects(read([], START), isDamage);
  assert.deepEqual(await read([first], START + 40n), [{ ...first, bytes: bytes.subarray(0, 40) }]);
});

test('a record that creates a tablespace is changed to one in the data directory, with its checksum', () => {
  assert.equal(crc32c([Buffer.from('1234'), Buffer.from('56789')]), 0xe3069283);
  const path = '/srv/fast';
  const data = Buffer.concat([Buffer.from([0x10, 0x40, 0, 0]), Buffer.from(`${path}\0`)]);
  const record = Buffer.concat([Buffer.alloc(24), Buffer.from([253, 1, 0, 255, data.byteLength]), data]);
  record.writeUInt32LE(record.byteLength, 0);
  assert.deepEqual(readTablespaceRecord(record), { oid: 16400, path });
  const changed = inPlaceRecord(record);
  assert.deepEqual(readTablespaceRecord(changed), { oid: 16400, path: '' });
  assert.equal(changed.byteLength, record.byteLength);
  assert.equal(Buffer.from(changed).readUInt32LE(20), crc32c([changed.subarray(24), changed.subarray(0, 20)]));
});
