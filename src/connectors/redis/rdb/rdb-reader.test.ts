import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { suite, test } from 'node:test';
import { isTidemarkError } from '../../../core/errors.ts';
import { createSeededRandom } from '../../../flow/random.ts';
import { createCrc64 } from './crc64.ts';
import { moveFieldTimes, moveTimesIn } from './field-times.ts';
import { keyOf, piecesOf, readRdb, valueOf } from './rdb-reader.ts';
import type { RdbItem, RdbKey } from './rdb-reader.ts';
import { takeString } from './rdb-string.ts';

const string = (text: string): Buffer => Buffer.concat([length(text.length), Buffer.from(text)]);

function length(value: number): Buffer {
  if (value < 64) return Buffer.of(value);
  if (value < 16_384) return Buffer.of(0x40 | (value >> 8), value & 0xff);
  const bytes = Buffer.alloc(5, 0x80);
  bytes.writeUInt32BE(value, 1);
  return bytes;
}

function time(atMs: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(atMs));
  return bytes;
}

/** An RDB with these parts between its header and its end. */
function rdbOf(parts: readonly Uint8Array[], header = 'REDIS0012'): Buffer {
  const body = Buffer.concat([Buffer.from(header), ...parts, Buffer.of(255), new Uint8Array(8)]);
  const crc = createCrc64();
  crc.update(body.subarray(0, -8));
  crc.write(body, body.byteLength - 8);
  return body;
}

async function itemsOf(rdb: Uint8Array, mostHeldBytes?: number): Promise<readonly RdbItem[]> {
  const items: RdbItem[] = [];
  for await (const batch of readRdb(piecesOf(rdb), { mostHeldBytes })) items.push(...batch.items);
  return items;
}

async function keysOf(rdb: Uint8Array): Promise<readonly RdbKey[]> {
  return (await itemsOf(rdb)).filter((item) => item.kind === 'key');
}

async function* byteByByte(bytes: Buffer): AsyncGenerator<Uint8Array> {
  for (const [at] of bytes.entries()) yield bytes.subarray(at, at + 1);
}

const NEVER = Buffer.alloc(8, 0xff);
const MODULE_ID = Buffer.from('81a1d9d1d3d3d3d401', 'hex');
const ID = Buffer.alloc(16, 1);
const AT = Buffer.alloc(8, 2);
const L = (...values: readonly number[]): Buffer => Buffer.concat(values.map(length));

/** A value of each type that servers have written since Redis 2.6. */
const VALUES: ReadonlyMap<number, Uint8Array> = new Map([
  [0, string('text')],
  [1, Buffer.concat([L(2), string('a'), Buffer.of(0xc0, 5)])],
  [2, Buffer.concat([L(2), string('a'), Buffer.of(0xc1, 5, 6)])],
  [
    3,
    Buffer.concat([
      L(3),
      string('a'),
      Buffer.of(3),
      Buffer.from('1.5'),
      string('b'),
      Buffer.of(254),
      string('c'),
      Buffer.of(253),
    ]),
  ],
  [4, Buffer.concat([L(1), string('a'), Buffer.of(0xc2, 5, 6, 7, 8)])],
  [5, Buffer.concat([L(2), string('a'), AT, string('b'), AT])],
  [7, Buffer.concat([MODULE_ID, L(1, 77, 2, 4000, 3), Buffer.alloc(4), L(4), AT, L(5), string('inner'), L(0)])],
  ...[9, 10, 11, 12, 13, 16, 17, 20].map((type) => [type, string(`packed ${type}`)] as const),
  [14, Buffer.concat([L(2), string('packed'), string('packed')])],
  [
    15,
    Buffer.concat([
      L(1),
      string('id'),
      string('packed'),
      L(1, 2, 3, 1),
      string('group'),
      L(4, 5, 1),
      ID,
      AT,
      L(1, 1),
      string('consumer'),
      AT,
      L(1),
      ID,
    ]),
  ],
  [18, Buffer.concat([L(2, 1), string('plain'), L(2), string('packed')])],
  [
    19,
    Buffer.concat([
      L(0, 1, 2, 3, 1, 2, 3, 4, 5, 1),
      string('group'),
      L(4, 5, 6, 1),
      ID,
      AT,
      L(1, 1),
      string('consumer'),
      AT,
      L(1),
      ID,
    ]),
  ],
  [
    21,
    Buffer.concat([
      L(0, 1, 2, 3, 1, 2, 3, 4, 5, 1),
      string('group'),
      L(4, 5, 6, 1),
      ID,
      AT,
      L(1, 1),
      string('consumer'),
      AT,
      AT,
      L(1),
      ID,
    ]),
  ],
  [24, Buffer.concat([time(1000), L(2, 0), string('a'), string('1'), L(5), string('b'), string('2')])],
  [25, Buffer.concat([time(1000), string('packed')])],
]);

suite('an RDB', () => {
  test('has values of every type, each of which ends where the next thing begins', async () => {
    const parts = [...VALUES].map(([type, value]) => Buffer.concat([Buffer.of(type), string(`key ${type}`), value]));
    for (const header of ['REDIS0012', 'VALKEY080']) {
      const keys = await keysOf(rdbOf([Buffer.of(254, 3), ...parts], header));
      assert.deepEqual(
        keys.map((item) => [
          item.type,
          Buffer.from(keyOf(item)).toString(),
          Buffer.from(valueOf(item) ?? []),
          item.database,
        ]),
        [...VALUES].map(([type, value]) => [type, `key ${type}`, Buffer.from(value), 3]),
      );
    }
  });

  test('tells what lies between keys: settings, sizes, slots, functions, and when keys expire or are evicted', async () => {
    const items = await itemsOf(
      rdbOf([
        Buffer.concat([Buffer.of(250), string('redis-ver'), string('7.4.0')]),
        Buffer.concat([Buffer.of(245), string('#!lua')]),
        Buffer.concat([Buffer.of(243), string('a move of slots'), L(2, 0, 9, 20, 20)]),
        Buffer.concat([Buffer.of(254, 0, 251, 2, 1), Buffer.of(244, 1, 2, 3)]),
        Buffer.concat([Buffer.of(252), time(123_456), Buffer.of(249, 7, 0), string('a'), string('1')]),
        Buffer.concat([
          Buffer.of(253, 2, 0, 0, 0),
          Buffer.of(248, 9, 0),
          string('b'),
          string('2'),
          Buffer.of(0),
          string('c'),
          string('3'),
        ]),
        Buffer.concat([Buffer.of(247), MODULE_ID, L(2, 1, 1, 5, 0)]),
      ]),
    );
    const keys = items.filter((item) => item.kind === 'key');
    const told = keys.map(({ expiresAtMs, frequency, idleSeconds }) => [expiresAtMs, frequency, idleSeconds]);
    assert.deepEqual(told, [
      [123_456, 7, undefined],
      [2000, undefined, 9],
      [undefined, undefined, undefined],
    ]);
    const kinds = items.map(({ kind }) => kind).join(' ');
    assert.equal(kinds, 'aux function slotImport database time key time key key moduleAux end');
    assert.match(JSON.stringify(items.find(({ kind }) => kind === 'moduleAux')), /"module":"[A-Za-z0-9_-]{9}"/);
  });

  test('with a value of an unknown type is refused, naming the key', async () => {
    for (const type of [6, 8, 22, 23, 26, 99, 246]) {
      const rdb = rdbOf([Buffer.concat([Buffer.of(type), string('the key'), string('x')])]);
      const isRefused = (error: unknown): boolean =>
        isTidemarkError(error, 'UNSUPPORTED') && (type === 246 || error.message.includes('the key'));
      await assert.rejects(itemsOf(rdb), isRefused, String(type));
    }
  });
});

suite('an RDB as a whole', () => {
  test('that is something else, or of another checksum, is refused', async () => {
    const good = rdbOf([Buffer.concat([Buffer.of(0), string('a'), string('b')])]);
    const bad = [
      Buffer.from('something else'),
      Buffer.alloc(0),
      good.subarray(0, -1),
      Buffer.concat([good, Buffer.of(0)]),
    ];
    for (const rdb of bad) await assert.rejects(itemsOf(rdb), (error) => isTidemarkError(error, 'REPOSITORY_DAMAGED'));
    const changed = Buffer.from(good);
    changed[13] = 0x7a;
    await assert.rejects(itemsOf(changed), /does not have the checksum/);
    const unchecked = Buffer.concat([changed.subarray(0, -8), new Uint8Array(8)]);
    assert.equal((await keysOf(unchecked)).length, 1);
  });

  test('is given out byte for byte, and values that are not held by their place', async () => {
    const seed = randomInt(2 ** 31);
    const random = createSeededRandom(seed);
    const large = random.bytes(5000);
    const rdb = rdbOf([
      Buffer.concat([Buffer.of(0), string('a'), length(large.byteLength), large]),
      Buffer.concat([Buffer.of(24), string('h'), time(1000), L(1, 0), string('f'), length(large.byteLength), large]),
    ]);
    const raw: Uint8Array[] = [];
    const keys: RdbKey[] = [];
    const times: string[] = [];
    for await (const batch of readRdb(piecesOf(rdb), { mostHeldBytes: 512 })) {
      raw.push(batch.raw.slice());
      for (const item of batch.items) {
        if (item.kind === 'key') keys.push(item);
        if (item.kind === 'fieldTime') times.push(Buffer.from(item.bytes).readBigUInt64LE().toString());
      }
    }
    assert.deepEqual(Buffer.concat(raw), rdb.subarray(0, -8));
    assert.deepEqual(times, ['1000']);
    for (const { at, sizeBytes, valueIn, type, checksum } of keys) {
      assert.equal(valueIn, undefined);
      const crc = createCrc64();
      for (const part of [Buffer.of(type), rdb.subarray(at, at + sizeBytes), Buffer.of(12, 0)]) crc.update(part);
      const wanted = new Uint8Array(8);
      crc.write(wanted, 0);
      assert.deepEqual(checksum, wanted, `seed ${seed}`);
    }
    assert.equal(keys.length, 2);
  });
});

suite('an RDB of Valkey', () => {
  const random = createSeededRandom(5);
  const padding = (): Buffer => Buffer.concat([length(300), random.bytes(300)]);
  const field = (name: string, value: Buffer, expiry: Buffer): Buffer => Buffer.concat([string(name), value, expiry]);
  const values = Array.from({ length: 9 }, padding);
  const hash = (shiftMs: number): Buffer => {
    const fields = values.map((value, at) => field(`f${at}`, value, at % 3 === 0 ? NEVER : time(1000 * at + shiftMs)));
    return Buffer.concat([L(fields.length), ...fields]);
  };
  const rdb = rdbOf(
    [
      Buffer.concat([Buffer.of(22), string('hash'), hash(0)]),
      Buffer.concat([Buffer.of(0), string('other'), length(300), Buffer.alloc(300, 1)]),
    ],
    'VALKEY080',
  );

  test('has a hash whose fields expire, which are told of one that is not held', async () => {
    for (const [mostHeldBytes, wanted] of [
      [1 << 20, []],
      [512, [1000, 2000, 4000, 5000, 7000, 8000]],
    ] as const) {
      const raw: Uint8Array[] = [];
      const times: bigint[] = [];
      for await (const batch of readRdb(byteByByte(rdb), { mostHeldBytes })) {
        raw.push(batch.raw.slice());
        for (const item of batch.items) {
          if (item.kind === 'fieldTime') times.push(Buffer.from(item.bytes).readBigInt64LE());
        }
      }
      assert.deepEqual(Buffer.concat(raw), rdb.subarray(0, -8));
      assert.deepEqual(times.filter((at) => at > 0n).map(Number), wanted);
    }
  });

  test('gives values that any server takes that knows them', async () => {
    for await (const { items } of readRdb(piecesOf(rdb), { mostHeldBytes: 64, checksums: true })) {
      for (const item of items.filter((one) => one.kind === 'key')) {
        const version = item.type === 22 ? 80 : 11;
        const crc = createCrc64();
        for (const part of [[item.type], rdb.subarray(item.at, item.at + item.sizeBytes), [version, 0]]) {
          crc.update(Buffer.from(part));
        }
        const wanted = new Uint8Array(8);
        crc.write(wanted, 0);
        assert.deepEqual(item.checksum, wanted);
      }
    }
  });

  test('has fields that expire later by what everything else does, whole or in pieces', async () => {
    assert.deepEqual(moveFieldTimes(22, hash(0), 500), hash(500));
    const moved = await Array.fromAsync(moveTimesIn(byteByByte(hash(0)), 500));
    assert.deepEqual(Buffer.concat(moved), hash(500));
    await assert.rejects(Array.fromAsync(moveTimesIn(byteByByte(hash(0).subarray(0, -1)), 500)), /can’t be read/);
  });
});

suite('strings of an RDB', () => {
  test('are read in each of their forms', () => {
    const cases: readonly (readonly [Uint8Array, string])[] = [
      [string('plain'), 'plain'],
      [string(''), ''],
      [Buffer.of(0xc0, 0xff), '-1'],
      [Buffer.of(0xc1, 0, 0x80), '-32768'],
      [Buffer.of(0xc2, 1, 0, 0, 0x80), '-2147483647'],
      // "abc", and nine bytes from three before.
      [Buffer.of(0xc3, 7, 12, 2, 0x61, 0x62, 0x63, 0xe0, 0, 2), 'abcabcabcabc'],
    ];
    for (const [bytes, text] of cases) {
      const taken = takeString(bytes, 0, bytes.byteLength);
      assert.equal(Buffer.from(taken?.bytes ?? []).toString(), text);
      assert.equal(taken?.next, bytes.byteLength);
      for (let end = 0; end < bytes.byteLength; end += 1) assert.equal(takeString(bytes, 0, end), undefined);
    }
  });
});

suite('the fields of a hash that expire', () => {
  const element = (data: Buffer): Buffer => Buffer.concat([data, Buffer.of(data.byteLength)]);
  const text = (value: string): Buffer => element(Buffer.concat([Buffer.of(0x80 | value.length), Buffer.from(value)]));
  const number = (value: number): Buffer => element(Buffer.concat([Buffer.of(0xf4), time(value)]));

  test('expire later by what everything else does, in either form', () => {
    const table = VALUES.get(24) ?? Buffer.of();
    assert.deepEqual(moveFieldTimes(24, table, 500), Buffer.concat([time(1500), table.subarray(8)]));
    const list = (atMs: number): Buffer => {
      const elements = [
        text('a'),
        text('1'),
        number(atMs),
        text('b'),
        element(Buffer.of(0xf1, 9, 9)),
        element(Buffer.of(0)),
      ];
      const body = Buffer.concat([Buffer.alloc(6), ...elements, Buffer.of(255)]);
      return Buffer.concat([time(atMs), Buffer.of(0x80, 0, 0, 0, body.byteLength), body]);
    };
    assert.deepEqual(moveFieldTimes(25, list(1_700_000_000_000), 500), list(1_700_000_000_500));
    assert.equal(moveFieldTimes(25, list(5), 0).byteLength, list(5).byteLength);
    const other = string('not such a hash');
    assert.equal(moveFieldTimes(16, other, 500), other);
    assert.throws(() => moveFieldTimes(25, Buffer.concat([time(5), string('no listpack')]), 5), /can’t be read/);
  });
});
