import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync, renameSync } from 'node:fs';
import { suite, test } from 'node:test';
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';
import { ReplicaLink } from '../../../src/connectors/redis/link/replica-link.ts';
import { openRedisRestorer } from '../../../src/connectors/redis/restorer.ts';
import { previewRestore } from '../../../src/connectors/redis/preview.ts';
import { discardRestore, undoRestore } from '../../../src/connectors/redis/undo.ts';
import { openClient } from '../../../src/connectors/redis/resp-client.ts';
import { readState, workFilesIn } from '../../../src/connectors/redis/restore/work-files.ts';
import { isTidemarkError } from '../../../src/core/errors.ts';
import type { Restorer } from '../../../src/core/restorer.ts';
import { temporaryFolder } from '../../../src/testing/tree/temporary-folder.ts';
import { needs } from '../../servers/needs.ts';
import { startRedis } from '../../servers/redis.ts';
import type { RedisServer } from '../../servers/redis.ts';
import { placeOf, record, runtime } from './captured.ts';
import { contextOf, restore, stage } from './restoring.ts';

const run = { signal: new AbortController().signal };
const LIMIT_MS = 60_000;

async function keysOf(server: RedisServer): Promise<readonly string[]> {
  return (await server.call('keys', '*')).split('\n').toSorted((left, right) => (left < right ? -1 : 1));
}

const NEEDED = { ...needs('redis-server', 'redis-cli'), timeout: LIMIT_MS };

suite('a server that is restored into', NEEDED, () => {
  test('is refused when it is not empty, and is as it was', async () => {
    await using source = await startRedis();
    await using target = await startRedis();
    await using folder = temporaryFolder();
    await source.call('set', 'a', '1');
    await using recording = await record(source);
    const to = await recording.position();
    for (const filling of [
      'set mine 1',
      'function load "#!lua name=mine\\nredis.register_function(\'f\', function() return 1 end)"',
    ]) {
      await target.script(['flushall', filling]);
      const preview = await previewRestore(placeOf(target), { runtime, id: undefined }, run);
      assert.match(preview.blockers.join(), /is not empty.*--replace/);
      await assert.rejects(restore(target, { recording, to, workFolder: folder.at('work') }), (error) =>
        isTidemarkError(error, 'RESTORE_CONFLICT'),
      );
      assert.doesNotMatch(await target.call('keys', '*'), /^a$/m);
    }
    assert.match(await target.call('function', 'list'), /mine/);
  });

  test('is in the way where it does not answer, and nobody says what it holds', async () => {
    await using target = await startRedis();
    const place = placeOf(target);
    await target.kill();
    const { replaces, blockers } = await previewRestore(place, { runtime, id: undefined }, run);
    assert.equal(replaces, undefined);
    assert.match(blockers.join(), /nothing listens there/);
  });

  test('is replaced where that is allowed, what it held comes back by an undo, and so on', async () => {
    await using source = await startRedis();
    await using target = await startRedis();
    await using folder = temporaryFolder();
    await source.script(['SET a 1', 'SELECT 2', 'SET b 2']);
    await target.script([
      'SET mine 1',
      'SET soon 1 EX 5000',
      `FUNCTION LOAD "#!lua name=mine\\nredis.register_function('f', function() return 1 end)"`,
    ]);
    await using recording = await record(source);
    const to = await recording.position();
    const options = { workFolder: folder.at('work'), context: { replace: true } };
    const { keptAside } = await restore(target, { recording, to, ...options });
    assert.ok(keptAside !== undefined && existsSync(keptAside));
    assert.deepEqual(await keysOf(target), ['a']);
    assert.equal(await target.call('function', 'list'), '');
    assert.equal(await target.call('-n', '2', 'get', 'b').catch(String), '2');
    await target.call('set', 'written', 'since');
    for (const [turn, keys] of [
      [1, ['mine', 'soon']],
      [2, ['a', 'written']],
      [2, ['a', 'written']],
      [3, ['mine', 'soon']],
    ] as const) {
      await undoRestore(placeOf(target), { ...contextOf(options), turn }, run);
      assert.deepEqual(await keysOf(target), keys, `turn ${turn}`);
    }
    assert.match(await target.call('function', 'list'), /mine/);
    assert.ok(Number(await target.call('ttl', 'soon')) > 4000);
    await discardRestore(placeOf(target), contextOf(options), run);
    assert.equal(existsSync(folder.at('work')), false);
    await discardRestore(placeOf(target), contextOf(options), run);
  });

  test('has by an undo all that was acknowledged before it was replaced, however late', async () => {
    await using source = await startRedis();
    await using target = await startRedis();
    await using folder = temporaryFolder();
    await source.call('set', 'a', '1');
    await target.pipe(Array.from({ length: 50_000 }, (_, index) => ['SET', `mine:${index}`, randomBytes(100)]));
    await using recording = await record(source);
    const to = await recording.position();
    const options = { workFolder: folder.at('work'), context: { replace: true } };
    await using restorer = await stage(target, { recording, to, ...options });
    let isOver = false;
    const swapping = restorer.swap(run).finally(() => {
      isOver = true;
    });
    await using writer = await openClient(placeOf(target), run);
    let acknowledged = 0;
    await writer.call(['SET', 'soon', '1', 'PX', '1000000'], run);
    await writer.call(['SELECT', '3'], run);
    while (!isOver) {
      const count = Number(await writer.call(['INCR', 'count'], run));
      if (count <= acknowledged) break;
      acknowledged = count;
    }
    await swapping;
    assert.ok(acknowledged > 100, String(acknowledged));
    await undoRestore(placeOf(target), { ...contextOf(options), turn: 1 }, run);
    assert.equal(await target.call('dbsize'), '50001');
    assert.ok(Number(await target.call('pttl', 'soon')) > 900_000);
    assert.equal(await target.script(['select 3', 'get count']), `OK\n${acknowledged}`);
  });
});

suite('a server that was restored into', { ...needs('redis-server', 'redis-cli'), timeout: LIMIT_MS }, () => {
  test('that is emptied has no key of ours afterwards, not even where databases were exchanged', async () => {
    await using source = await startRedis();
    await using target = await startRedis();
    await using folder = temporaryFolder();
    await target.call('set', 'mine', '1');
    await using recording = await record(source);
    await source.script(['set a 1', 'swapdb 0 5']);
    const to = await recording.position();
    await restore(target, { recording, to, workFolder: folder.at('work'), context: { replace: true } });
    assert.equal(await target.script(['dbsize', 'select 5', 'keys *']), '0\nOK\na');
  });

  test('that was empty is never emptied', async () => {
    await using source = await startRedis();
    await using target = await startRedis();
    await using folder = temporaryFolder();
    await source.call('set', 'a', '1');
    await using recording = await record(source);
    await restore(target, { recording, to: await recording.position(), workFolder: folder.at('work') });
    assert.equal((await target.info('commandstats'))['cmdstat_flushall'], undefined);
  });

  test('that was cut off may be discarded without it, unless what it held is nowhere else', async () => {
    await using source = await startRedis();
    await using folder = temporaryFolder();
    await source.pipe(Array.from({ length: 50_000 }, (_, index) => ['SET', `k:${index}`, String(index)]));
    await using recording = await record(source);
    const to = await recording.position();
    for (const isReplaced of [false, true]) {
      await using target = await startRedis();
      if (isReplaced) await target.call('set', 'mine', '1');
      const options = { workFolder: folder.at(`work-${isReplaced}`), context: { replace: isReplaced } };
      await using restorer = await stage(target, { recording, to, ...options });
      const cutOff = assert.rejects(restorer.swap(run));
      while (Number(await target.call('dbsize')) < 100) continue;
      await target.kill();
      await cutOff;
      if (isReplaced) {
        const isRefused = (error: unknown): boolean =>
          isTidemarkError(error, 'RESTORE_UNFINISHED') && /is only in .*kept-0\.rdb/.test(error.message);
        await assert.rejects(discardRestore(placeOf(target), contextOf(options), run), isRefused);
        renameSync(workFilesIn(options.workFolder).kept(0), folder.at('mine.rdb'));
      }
      await discardRestore(placeOf(target), contextOf(options), run);
      assert.equal(existsSync(options.workFolder), false);
    }
  });

  test('that was empty is empty again after an undo', async () => {
    await using source = await startRedis();
    await using target = await startRedis();
    await using folder = temporaryFolder();
    await source.call('set', 'a', '1');
    await using recording = await record(source);
    const to = await recording.position();
    const options = { workFolder: folder.at('work') };
    assert.deepEqual(await restore(target, { recording, to, ...options }), {});
    await undoRestore(placeOf(target), { ...contextOf(options), turn: 1 }, run);
    assert.equal(await target.call('dbsize'), '0');
    await undoRestore(placeOf(target), { ...contextOf(options), turn: 2 }, run);
    assert.equal(await target.call('get', 'a'), '1');
  });
});

suite('a swap into a server', { ...needs('redis-server', 'redis-cli'), timeout: LIMIT_MS }, () => {
  test('that was cut off anywhere, several times, ends as it should, and what was there first is kept', async () => {
    await using source = await startRedis();
    await using target = await startRedis();
    await using folder = temporaryFolder();
    const many = Array.from({ length: 20_000 }, (_, index) => ['SET', `base:${index}`, String(index)]);
    await source.pipe(many);
    await target.call('set', 'mine', '1');
    await using recording = await record(source);
    await source.pipe(Array.from({ length: 20_000 }, (_, index) => ['INCR', `log:${index % 1000}`]));
    const to = await recording.position();
    const options = { workFolder: folder.at('work'), context: { replace: true } };
    await using staged = await stage(target, { recording, to, ...options });
    const phaseNow = async (): Promise<string | undefined> => (await readState(workFilesIn(options.workFolder)))?.phase;
    /** So long after it has begun, or has begun to replace. */
    const cutOff = async (restorer: Restorer, delayMs: number, isReplacing: boolean): Promise<void> => {
      const cut = new AbortController();
      let hasEnded = false;
      const swapping = Promise.allSettled([restorer.swap({ signal: cut.signal })]).finally(() => {
        hasEnded = true;
      });
      while (isReplacing && !hasEnded && (await phaseNow()) !== 'replacing') await nextTurn();
      await sleep(delayMs);
      cut.abort(new Error('cut off'));
      await swapping;
    };
    const phases = new Set<string | undefined>();
    for (const [index, delayMs] of [1, 15, 1, 15, 60].entries()) {
      await cutOff(staged, delayMs, index > 1);
      await using again = openRedisRestorer(placeOf(target), contextOf(options));
      await cutOff(again, delayMs * 2, index > 1);
      phases.add(await phaseNow());
    }
    assert.ok(phases.has('replacing'), [...phases].join());
    await using last = openRedisRestorer(placeOf(target), contextOf(options));
    await last.swap(run);
    assert.equal(await target.call('dbsize'), '21000');
    assert.equal(await target.call('get', 'log:7'), '20');
    // When it is done another swap changes nothing.
    await target.call('set', 'written', 'since');
    await last.swap(run);
    assert.equal(await target.call('get', 'written'), 'since');
    await undoRestore(placeOf(target), { ...contextOf(options), turn: 1 }, run);
    assert.deepEqual(await keysOf(target), ['mine']);
  });

  test('that is told of a value for which the memory does not suffice, or that drops keys for it, says so', async () => {
    await using source = await startRedis();
    await using folder = temporaryFolder();
    await using full = await startRedis({ args: ['--maxmemory', '4mb', '--maxmemory-policy', 'noeviction'] });
    await using recording = await record(source);
    await source.pipe([['SET', 'large', randomBytes(4_000_000)]]);
    const options = { recording, to: await recording.position(), workFolder: folder.at('work') };
    await assert.rejects(restore(full, options), /refuses the command SET of "large": OOM/);
    await using dropping = await startRedis({ args: ['--maxmemory', '4mb', '--maxmemory-policy', 'allkeys-lru'] });
    await assert.rejects(restore(dropping, options), /has dropped keys|OOM/);
  });

  test('that is no master, that refuses a value, or that has no memory for it, says so', async () => {
    await using source = await startRedis();
    await using folder = temporaryFolder();
    await source.pipe([
      ['SET', 'small', '1'],
      ['SET', 'large', randomBytes(3_000_000)],
    ]);
    await using recording = await record(source);
    const to = await recording.position();
    const options = { recording, to, workFolder: folder.at('work') };
    await using replica = await startRedis({ replicaOf: source });
    await assert.rejects(restore(replica, options), /is a replica/);
    await using narrow = await startRedis({ args: ['--proto-max-bulk-len', '1mb'] });
    await assert.rejects(restore(narrow, options), /takes values of 1048576 bytes at most, and the largest has/);
    await using small = await startRedis({ args: ['--maxmemory', '3mb'] });
    await assert.rejects(restore(small, options), /may take 3145728 bytes of memory/);
  });
});

test(
  'a server is replaced when no replica is being given what it held: removing that would cut it off',
  NEEDED,
  async () => {
    await using source = await startRedis();
    await using target = await startRedis({ lines: ['repl-diskless-sync-delay 0'] });
    await using folder = temporaryFolder();
    await source.call('set', 'a', '1');
    await target.script(['SET one 1', 'SET two 2', 'CONFIG SET rdb-key-save-delay 400000']);
    await using recording = await record(source);
    const to = await recording.position();
    const restoring = restore(target, { recording, to, workFolder: folder.at('work'), context: { replace: true } });
    const replicas = async (): Promise<string> => (await target.info('replication'))['slave0'] ?? '';
    while (!(await replicas()).includes('state=wait_bgsave')) await nextTurn();
    // It comes after the one who keeps what is there.
    await using link = await ReplicaLink.open(placeOf(target), runtime.clock, run);
    await link.ask(undefined, run);
    await link.answer(run);
    await link.receiveRdb(folder.at('copy'), run);
    await restoring;
    assert.deepEqual(await keysOf(target), ['a']);
    assert.match(readFileSync(folder.at('copy'), 'latin1'), /one/);
  },
);
