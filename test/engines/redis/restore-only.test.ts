import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { openRedisRestorer } from '../../../src/connectors/redis/restorer.ts';
import { undoRestore } from '../../../src/connectors/redis/undo.ts';
import { isTidemarkError } from '../../../src/core/errors.ts';
import { temporaryFolder } from '../../../src/testing/tree/temporary-folder.ts';
import { needs } from '../../servers/needs.ts';
import { startRedis } from '../../servers/redis.ts';
import type { RedisServer } from '../../servers/redis.ts';
import { placeOf, record } from './captured.ts';
import { digests } from './fill.ts';
import { contextOf, restore } from './restoring.ts';

const run = { signal: new AbortController().signal };
const LIMIT_MS = 60_000;
const HOUR_MS = 3_600_000;

async function valuesOf(server: RedisServer): Promise<Readonly<Record<string, string>>> {
  const found: Record<string, string> = {};
  for (const key of (await digests(server)).keys()) {
    const [database = '0', name = ''] = key.split('/');
    found[key] = (await server.script([`SELECT ${database}`, `GET "${name}"`])).split('\n')[1] ?? '';
  }
  return found;
}

suite('a part of the keys of a server', { ...needs('redis-server', 'redis-cli'), timeout: LIMIT_MS }, () => {
  for (const hasLog of [false, true]) {
    test(`is restored, the rest stays as it is, ${hasLog ? 'from base and log' : 'from the base alone'}`, async () => {
      await using source = await startRedis();
      await using target = await startRedis();
      await using folder = temporaryFolder();
      await source.script([
        'SET session:1 a EX 3600',
        'SET session:2 b',
        'SET other c',
        'SELECT 1',
        'SET session:1 d',
        'SET x e',
      ]);
      await target.script([
        'SET session:9 live',
        'SET session:1 live',
        'SET other live',
        'SELECT 1',
        'SET session:1 live',
        'SET x live',
      ]);
      await using recording = await record(source);
      // What is renamed into what is meant has to come with the value that it had elsewhere.
      if (hasLog) {
        await source.script([
          'SET source 1',
          'INCR source',
          'RENAME source session:3',
          'DEL session:2',
          'APPEND other more',
        ]);
      }
      const to = await recording.position();
      const options = { workFolder: folder.at('work'), context: { only: ['0:session:*', '1:x'], replace: true } };
      await restore(target, { recording, to, ...options });
      const log = hasLog ? { '0/session:3': '2' } : { '0/session:2': 'b' };
      const wanted = { '0/session:1': 'a', ...log, '0/other': 'live', '1/session:1': 'live', '1/x': 'e' };
      assert.deepEqual(await valuesOf(target), wanted);
      const leftMs = ((await digests(target)).get('0/session:1')?.expiresAtMs ?? 0) - Date.now();
      assert.ok(Math.abs(leftMs - HOUR_MS) < 20_000, String(leftMs));
      await target.call('set', 'other', 'changed');
      await undoRestore(placeOf(target), { ...contextOf(options), turn: 1 }, run);
      assert.deepEqual(await valuesOf(target), {
        '0/session:9': 'live',
        '0/session:1': 'live',
        '0/other': 'changed',
        '1/session:1': 'live',
        '1/x': 'live',
      });
    });
  }

  test('replaces nothing without being told, and is not found where no key is meant', async () => {
    await using source = await startRedis();
    await using target = await startRedis();
    await using folder = temporaryFolder();
    await source.script(['SET session:1 a', 'SET other a']);
    await target.script(['SET other live']);
    await using recording = await record(source);
    const to = await recording.position();
    const options = { recording, to, workFolder: folder.at('work') };
    await assert.rejects(restore(target, { ...options, context: { only: ['other'] } }), (error) =>
      isTidemarkError(error, 'RESTORE_CONFLICT'),
    );
    await assert.rejects(restore(target, { ...options, context: { only: ['3:other'] } }), (error) =>
      isTidemarkError(error, 'ENTRY_NOT_FOUND'),
    );
    await restore(target, { ...options, context: { only: ['session:*'] } });
    assert.deepEqual(await valuesOf(target), { '0/other': 'live', '0/session:1': 'a' });
    const files = contextOf({ workFolder: folder.at('work'), context: { only: ['a'], target: folder.at('data') } });
    assert.throws(
      () => openRedisRestorer(placeOf(target), files),
      (error) => isTidemarkError(error, 'UNSUPPORTED'),
    );
  });
});
