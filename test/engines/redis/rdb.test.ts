import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { createReadStream, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import { isTidemarkError } from '../../../src/core/errors.ts';
import { createSeededRandom } from '../../../src/flow/random.ts';
import { keyOf, piecesOf, readRdb, valueOf } from '../../../src/connectors/redis/rdb/rdb-reader.ts';
import type { RdbItem } from '../../../src/connectors/redis/rdb/rdb-reader.ts';
import { payloadOf } from '../../../src/connectors/redis/rdb/restore-writer.ts';
import { startRedis } from '../../servers/redis.ts';
import { needs } from '../../servers/needs.ts';
import { clientOf, fill } from './fill.ts';

const run = { signal: new AbortController().signal };
const LIMIT_MS = 120_000;

suite('an RDB of a real server', { ...needs('redis-server', 'redis-cli'), timeout: LIMIT_MS }, () => {
  for (const policy of ['noeviction', 'allkeys-lru', 'allkeys-lfu']) {
    test(`holds of each key what DUMP answers, and its expiry (${policy})`, async () => {
      const seed = randomInt(2 ** 31);
      await using server = await startRedis({ args: ['--maxmemory-policy', policy] });
      await fill(server, createSeededRandom(seed));
      await server.call('save');
      const file = join(server.folder, 'dump.rdb');
      const whole = readFileSync(file);
      await using client = await clientOf(server);
      let [keys, large, libraries] = [0, 0, 0];
      const raw: Uint8Array[] = [];
      const kinds = new Set<string>();
      let database = -1;
      for await (const batch of readRdb(createReadStream(file, { highWaterMark: 100_000 }))) {
        raw.push(batch.raw.slice());
        for (const item of batch.items) {
          kinds.add(item.kind);
          if (item.kind === 'function') libraries += 1;
          if (item.kind !== 'key') continue;
          keys += 1;
          if (item.database !== database) await client.call(['SELECT', String((database = item.database))], run);
          const key = keyOf(item);
          const value = valueOf(item) ?? whole.subarray(item.at, item.at + item.sizeBytes);
          const payload = payloadOf({ type: item.type, value }, batch.version);
          const name = Buffer.from(key).toString('latin1');
          assert.deepEqual(payload, await client.call(['DUMP', key], run), `${name}, seed ${seed}`);
          assert.equal(item.expiresAtMs ?? -1, await client.call(['PEXPIRETIME', key], run), name);
          assert.equal(item.frequency !== undefined, policy === 'allkeys-lfu', name);
          if (item.valueIn !== undefined) continue;
          large += 1;
          assert.deepEqual(payload.subarray(-8), Buffer.from(item.checksum ?? []), name);
        }
      }
      const sizes = await client.call(['INFO', 'keyspace'], run);
      const wanted = [...String(sizes).matchAll(/keys=([0-9]+)/g)].reduce((sum, [, count]) => sum + Number(count), 0);
      assert.equal(keys, wanted);
      assert.ok(large >= 2, 'some values are too large to be held');
      assert.equal(libraries, 2);
      assert.deepEqual(kinds, new Set(['aux', 'database', 'time', 'function', 'key', 'end']));
      assert.deepEqual(Buffer.concat(raw), whole.subarray(0, -8));
    });
  }

  test('gives the same however it is cut into pieces', async () => {
    const seed = randomInt(2 ** 31);
    const random = createSeededRandom(seed);
    await using server = await startRedis();
    await fill(server, random);
    for (const key of ['large', 'huge list', 'dense', 'long list']) await server.call('del', key);
    await server.call('save');
    const whole = readFileSync(join(server.folder, 'dump.rdb'));
    const wanted = await itemsOf(whole, () => whole.byteLength, 1 << 24);
    for (const most of [1, 50, 3000, 200_000]) {
      const held = 1 << (6 + random.integer(12));
      const found = await itemsOf(whole, () => 1 + random.integer(most), held);
      assert.equal(found.length, wanted.length, `seed ${seed}`);
      for (const [index, item] of found.entries()) {
        assert.equal(item, wanted[index], `seed ${seed}, at most ${most}, held ${held}`);
      }
    }
  });

  test('that is damaged or cut off is refused, and nothing else happens', async () => {
    const seed = randomInt(2 ** 31);
    const random = createSeededRandom(seed);
    await using server = await startRedis();
    await fill(server, random);
    for (const key of ['large', 'huge list', 'large and compressed']) await server.call('del', key);
    await server.call('save');
    const whole = readFileSync(join(server.folder, 'dump.rdb'));
    for (let round = 0; round < 300; round += 1) {
      const damaged = Buffer.from(whole);
      const place = random.integer(damaged.byteLength);
      const cut = round % 5 === 0;
      if (!cut) damaged[place] = (damaged[place] ?? 0) ^ (1 << random.integer(8));
      const bytes = cut ? damaged.subarray(0, place) : damaged;
      await assert.rejects(
        itemsOf(bytes, () => 1 << 16, 1 << 16),
        (error) => isTidemarkError(error, 'REPOSITORY_DAMAGED') || isTidemarkError(error, 'UNSUPPORTED'),
        `seed ${seed}, byte ${place}, ${cut ? 'cut' : 'flipped'}`,
      );
    }
    for (let round = 0; round < 200; round += 1) {
      const noise = Buffer.concat([whole.subarray(0, 9 + random.integer(400)), random.bytes(random.integer(3000))]);
      await assert.rejects(
        itemsOf(noise, () => 777, 512),
        (error) => isTidemarkError(error),
        `seed ${seed}`,
      );
    }
  });
});

/** Each item as text. */
async function itemsOf(whole: Uint8Array, size: () => number, mostHeldBytes: number): Promise<readonly string[]> {
  const found: string[] = [];
  const pieces = (async function* () {
    for (let at = 0; at < whole.byteLength; ) {
      const piece = whole.subarray(at, at + size());
      at += piece.byteLength;
      yield piece;
    }
  })();
  for await (const { items } of readRdb(mostHeldBytes > whole.byteLength ? piecesOf(whole) : pieces, {
    mostHeldBytes,
  })) {
    for (const item of items) if (item.kind !== 'time') found.push(textOf(item));
  }
  return found;
}

/** Where they lie depends on how they came. */
const NO_PLACES = { keyIn: undefined, keyFrom: 0, keyTo: 0, valueIn: undefined, valueFrom: 0 };

function textOf(item: RdbItem): string {
  const more =
    item.kind === 'key' ? { ...NO_PLACES, checksum: undefined, key: Buffer.from(keyOf(item)).toString('hex') } : {};
  return JSON.stringify({ ...item, ...more }, (_, value: unknown) =>
    value instanceof Uint8Array ? Buffer.from(value).toString('hex') : value,
  );
}
