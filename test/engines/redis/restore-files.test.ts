import assert from 'node:assert/strict';
import { copyFileSync, existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite, test } from 'node:test';
import { previewRestore } from '../../../src/connectors/redis/preview.ts';
import { discardRestore, undoRestore } from '../../../src/connectors/redis/undo.ts';
import { must } from '../../../src/core/must.ts';
import { createSeededRandom } from '../../../src/flow/random.ts';
import { temporaryFolder } from '../../../src/testing/tree/temporary-folder.ts';
import { needs } from '../../servers/needs.ts';
import { startRedis } from '../../servers/redis.ts';
import { placeOf, record, runtime } from './captured.ts';
import { clientOf, digests, fill } from './fill.ts';
import { contextOf, restore } from './restoring.ts';
import { assertSame, stateOf } from './state.ts';
import { HARMLESS, workload } from './workload.ts';

const run = { signal: new AbortController().signal };
const LIMIT_MS = 120_000;
const APPEND = ['--appendonly', 'yes'];

suite('a data folder that was restored', { ...needs('redis-server', 'redis-cli'), timeout: LIMIT_MS }, () => {
  test('holds exactly what there was, also after the server that was started on it starts again', async () => {
    await using source = await startRedis();
    await using folder = temporaryFolder();
    const random = createSeededRandom(11);
    await fill(source, random);
    await using recording = await record(source);
    await using client = await clientOf(source);
    const commands = workload(random);
    for (let count = 0; count < 500; count += 1) {
      await client
        .call(must(commands.next().value, 'a command'), run)
        .catch((error: unknown) => assert.match(String(error), HARMLESS));
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
    const wanted = await stateOf(source);
    const to = await recording.position();
    const target = folder.at('data');
    await restore(source, { recording, to, workFolder: folder.at('work'), context: { target } });
    assert.match(readFileSync(join(target, 'redis.conf'), 'utf8'), /^appendonly yes$/m);
    await using server = await startRedis({ folder: target, args: APPEND });
    assertSame(await stateOf(server), wanted, 'as it was started');
    await server.call('set', 'written', 'since');
    await server.restart();
    assert.equal(await server.call('get', 'written'), 'since');
    await server.call('del', 'written');
    assertSame(await stateOf(server), wanted, 'as it was started again');
  });

  test('gives keys the time that they had left', async () => {
    await using source = await startRedis();
    await using folder = temporaryFolder();
    await source.script(['SET base x EX 3600', 'SET gone x PX 200', 'SET kept x PX 200']);
    const sixHoursMs = 6 * 3_600_000;
    await using recording = await record(source, () => Date.now() - sixHoursMs);
    await source.script(['SET log x EX 3600', 'PERSIST kept']);
    await new Promise((resolve) => setTimeout(resolve, 300));
    await source.call('get', 'gone');
    const to = await recording.position();
    const target = folder.at('data');
    await restore(source, { recording, to, workFolder: folder.at('work'), context: { target } });
    await using server = await startRedis({ folder: target, args: APPEND });
    const found = await digests(server);
    assert.deepEqual([...found.keys()].toSorted(), ['0/base', '0/kept', '0/log']);
    for (const key of ['0/base', '0/log']) {
      const leftMs = (found.get(key)?.expiresAtMs ?? 0) - Date.now() - sixHoursMs;
      assert.ok(Math.abs(leftMs - 3_600_000) < 20_000, `${key}: ${leftMs}`);
    }
  });

  test('says how many databases its server must have, and a server that has fewer is not touched', async () => {
    await using source = await startRedis({ args: ['--databases', '40'] });
    await using folder = temporaryFolder();
    await source.script(['SET a 1', 'SELECT 20', 'SET b 2']);
    await using recording = await record(source);
    await source.script(['SELECT 30', 'SET c 3', 'COPY c d DB 35']);
    const to = await recording.position();
    const target = folder.at('data');
    await restore(source, { recording, to, workFolder: folder.at('work'), context: { target } });
    const [, databases = ''] = /^databases (\d+)$/m.exec(readFileSync(join(target, 'redis.conf'), 'utf8')) ?? [];
    assert.equal(databases, '36');
    await using server = await startRedis({ folder: target, args: [...APPEND, '--databases', databases] });
    assert.deepEqual((await server.info('keyspace'))['db35']?.slice(0, 6), 'keys=1');
    await using narrow = await startRedis();
    await narrow.call('set', 'mine', '1');
    const options = { recording, to, workFolder: folder.at('other'), context: { replace: true } };
    await assert.rejects(restore(narrow, options), /has 16 databases, and 36 are needed/);
    assert.equal(await narrow.call('get', 'mine'), '1');
  });
});

suite('a data folder that is put in place', { ...needs('redis-server', 'redis-cli'), timeout: LIMIT_MS }, () => {
  test('takes the place of one that was there, which is kept aside and comes back by an undo', async () => {
    await using source = await startRedis();
    await using folder = temporaryFolder();
    await source.call('set', 'a', '1');
    await using recording = await record(source);
    const to = await recording.position();
    const target = folder.at('data');
    mkdirSync(target);
    writeFileSync(join(target, 'mine'), 'old');
    const options = { workFolder: folder.at('work'), context: { target } };
    const preview = await previewRestore(placeOf(source), { runtime, id: 'abc', target }, run);
    assert.deepEqual([preview.replaces, preview.blockers], [true, []]);
    const { keptAside } = await restore(source, { recording, to, ...options });
    assert.equal(keptAside, folder.at('.data.tidemark-aside-abc'));
    const isOld = (): boolean => existsSync(join(target, 'mine'));
    assert.equal(isOld(), false);
    const undo = async (turn: number): Promise<void> =>
      void (await undoRestore(placeOf(source), { ...contextOf(options), turn }, run));
    for (const [turn, wanted] of [
      [1, true],
      [1, true],
      [2, false],
      [3, true],
    ] as const) {
      await undo(turn);
      assert.equal(isOld(), wanted, `turn ${turn}`);
    }
    await discardRestore(placeOf(source), contextOf(options), run);
    assert.equal(existsSync(keptAside ?? ''), false);
    assert.equal(statSync(target).isDirectory(), true);
  });

  test('made by hand as people do it loses all on Redis 7, which is why it is not made so', async () => {
    await using source = await startRedis();
    await using folder = temporaryFolder();
    await source.script(['SET a 1', 'SET b 2', 'SAVE']);
    const data = folder.at('by-hand');
    mkdirSync(data);
    copyFileSync(join(source.folder, 'dump.rdb'), join(data, 'dump.rdb'));
    // With saving and appending off it starts on the copied dump.rdb; then both are configured again.
    {
      await using first = await startRedis({ folder: data, args: ['--save', '', '--appendonly', 'no'] });
      assert.equal(await first.call('dbsize'), '2');
      await first.kill('SIGTERM');
    }
    await using second = await startRedis({ folder: data, args: APPEND });
    assert.equal(await second.call('dbsize'), '0');
  });
});
