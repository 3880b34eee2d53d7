import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import { describeRdb, keyMatcher, listKeys, readKey } from '../../../src/connectors/redis/look.ts';
import { isTidemarkError } from '../../../src/core/errors.ts';
import { createSeededRandom } from '../../../src/flow/random.ts';
import { needs } from '../../servers/needs.ts';
import { startRedis } from '../../servers/redis.ts';
import { baseOf } from './captured.ts';
import { clientOf, fill } from './fill.ts';

const run = { signal: new AbortController().signal };
const LIMIT_MS = 60_000;

suite('a base of a Redis server', { ...needs('redis-server', 'redis-cli'), timeout: LIMIT_MS }, () => {
  test('is looked into by database and key', async () => {
    await using server = await startRedis();
    await fill(server, createSeededRandom(3));
    await server.script(['SET a/b/c x', 'SAVE']);
    const base = baseOf(readFileSync(join(server.folder, 'dump.rdb')), Buffer.of());
    const list = async (path: string, recursive = false): Promise<readonly string[]> => {
      const found: string[] = [];
      for await (const batch of listKeys(base, Buffer.from(path), { recursive }, run)) {
        found.push(...batch.map(({ name, type }) => `${Buffer.from(name).toString()}${type === 'folder' ? '/' : ''}`));
      }
      return found.toSorted((left, right) => (left < right ? -1 : 1));
    };
    assert.deepEqual(await list(''), ['0/', '15/', '3/']);
    assert.deepEqual(await list('3'), ['3/int8']);
    assert.deepEqual(await list('0/a/'), ['0/a/b/c']);
    assert.deepEqual(await list('/0/hash'), ['0/hash']);
    assert.equal((await list('15/key:')).length, 500);
    assert.equal((await list('', true)).length, (await list('0')).length + 501);
    for (const path of ['7', '0/none', 'x', '3/int8/']) {
      await assert.rejects(list(path), (error) => isTidemarkError(error, 'ENTRY_NOT_FOUND'), path);
    }
    await using client = await clientOf(server);
    const read = async (path: string): Promise<Buffer | undefined> => {
      const content = await readKey(base, Buffer.from(path), run);
      return content && Buffer.concat(await Array.fromAsync(content));
    };
    for (const key of ['int32', 'raw', 'large', 'large and compressed', 'empty', 'a/b/c', '']) {
      assert.deepEqual(await read(`0/${key}`), await client.call(['GET', key], run), key);
    }
    for (const key of ['hash', 'huge list', 'stream']) {
      assert.deepEqual(await read(`0/${key}`), await client.call(['DUMP', key], run), key);
    }
    assert.equal(await read('0/none'), undefined);
    assert.equal(await read('4/hash'), undefined);
    const [entry] = (await Array.fromAsync(base.entries(run))).flat();
    assert.equal(describeRdb(entry ?? assert.fail()).type, 'file');
  });

  test('is searched by the patterns of --only', () => {
    const matches = keyMatcher(['0:session:*', 'x']);
    const of = (name: string): boolean => matches({ name: Buffer.from(name), type: 'file', sizeBytes: 0 });
    assert.deepEqual(['0/session:1', '1/session:1', '1/x', 'dump.rdb', '0'].map(of), [true, false, true, false, false]);
  });
});
