import assert from 'node:assert/strict';
import { test } from 'node:test';
import { diagnoseRedis } from '../../../src/connectors/redis/diagnose.ts';
import { holdStore } from '../../../src/connectors/redis/hold.ts';
import { listKeys, readKey } from '../../../src/connectors/redis/look.ts';
import { previewRestore } from '../../../src/connectors/redis/preview.ts';
import { openClient } from '../../../src/connectors/redis/resp-client.ts';
import { discardRestore, undoRestore } from '../../../src/connectors/redis/undo.ts';
import { isTidemarkError } from '../../../src/core/errors.ts';
import { must } from '../../../src/core/must.ts';
import { recordInMemory } from '../../../src/testing/tree/memory-base.ts';
import { temporaryFolder } from '../../../src/testing/tree/temporary-folder.ts';
import { needs } from '../../servers/needs.ts';
import { startRedisCluster } from '../../servers/redis-cluster.ts';
import type { RedisCluster } from '../../servers/redis-cluster.ts';
import { startRedis } from '../../servers/redis.ts';
import { begin, follow, head, restoreInto, urlOf } from './cluster.ts';
import { forever, openAt, placeOfUrl, runtime } from './recording.ts';

const options = { ...needs('redis-server', 'redis-cli'), timeout: 120_000 };

async function keysOf(cluster: RedisCluster): Promise<readonly string[]> {
  const keys: string[] = [];
  for (const { port } of await cluster.masters()) {
    const found = await cluster.at(port).call('keys', '*');
    keys.push(...found.split('\n').filter((key) => key !== ''));
  }
  return keys.toSorted((left, right) => (left < right ? -1 : 1));
}

const NAMES = Array.from({ length: 12 }, (_, index) => `k${String(index).padStart(2, '0')}`);

test('a cluster that holds something is kept before it is replaced, and comes back by an undo', options, async () => {
  await using cluster = await startRedisCluster({ masters: 2 });
  await using target = await startRedisCluster({ masters: 3 });
  await using folder = temporaryFolder();
  for (const name of NAMES) await cluster.call('set', name, `${name} of the store`);
  await using recorder = await openAt(placeOfUrl(urlOf(cluster)));
  const from = await begin(recorder);
  await using followed = await follow(recorder, from);
  const base = await recordInMemory(await recorder.openBase(forever), forever);
  for (const name of NAMES) await cluster.call('append', name, '!');
  const to = await head(recorder);
  await followed.upTo(to);
  for (const name of ['a', 'b', 'c', 'd', 'e']) await target.call('set', name, 'mine');
  const place = placeOfUrl(urlOf(target));
  const preview = await previewRestore(place, { runtime, id: undefined }, forever);
  assert.match(preview.blockers.join(), /the Redis cluster at .* is not empty.*--replace/);
  const workFolder = folder.at('work');
  const restore = { base, followed, to, workFolder };
  await assert.rejects(restoreInto(urlOf(target), restore), (error) => isTidemarkError(error, 'RESTORE_CONFLICT'));
  assert.deepEqual(await keysOf(target), ['a', 'b', 'c', 'd', 'e']);
  const context = { runtime, id: 'abc', replace: true, workFolder };
  await restoreInto(urlOf(target), { ...restore, context });
  assert.deepEqual(await keysOf(target), NAMES);
  assert.equal(await target.call('get', 'k03'), 'k03 of the store!');
  for (const [turn, keys] of [
    [1, ['a', 'b', 'c', 'd', 'e']],
    [2, NAMES],
  ] as const) {
    await undoRestore(place, { ...context, turn }, forever);
    assert.deepEqual(await keysOf(target), keys, `turn ${turn}`);
  }
  await discardRestore(place, context, forever);
  // A part of the keys, as they were after the log, beside what is there.
  await target.call('set', 'k03', 'other');
  await target.call('set', 'mine', '1');
  await restoreInto(urlOf(target), { ...restore, context: { ...context, only: ['k0[34]'] } });
  assert.equal(await target.call('get', 'k03'), 'k03 of the store!');
  assert.equal((await keysOf(target)).length, NAMES.length + 1);
  // One server’s log is none of a cluster’s.
  await using single = await startRedis();
  await using alone = await openAt(placeOfUrl(single.url));
  const lone = await recordInMemory(await alone.openBase(forever), forever);
  const elsewhere = { base: lone, followed, to: lone.end.cut, workFolder: folder.at('other'), context };
  await assert.rejects(restoreInto(urlOf(target), elsewhere), /only what was a cluster’s/);
});

test('a cluster is restored as a folder of each master, and servers on them make a cluster', options, async () => {
  await using cluster = await startRedisCluster({ masters: 2 });
  await using folder = temporaryFolder();
  for (const name of NAMES) await cluster.call('set', name, `${name} of the store`);
  await using recorder = await openAt(placeOfUrl(urlOf(cluster)));
  const from = await begin(recorder);
  await using followed = await follow(recorder, from);
  const base = await recordInMemory(await recorder.openBase(forever), forever);
  for (const name of NAMES) await cluster.call('append', name, '!');
  const to = await head(recorder);
  await followed.upTo(to);
  const target = folder.at('data');
  await restoreInto(urlOf(cluster), { base, followed, to, workFolder: folder.at('work'), context: { target } });
  const coverage = 'cluster-require-full-coverage no';
  const lines = ['cluster-enabled yes', 'cluster-config-file nodes.conf', 'appendonly yes', coverage];
  const start = async (shard: number) => await startRedis({ folder: folder.at(`data/shard-${shard}`), lines });
  await using first = await start(0);
  await using second = await start(1);
  assert.equal(Number(await first.call('dbsize')) + Number(await second.call('dbsize')), NAMES.length);
  await first.call('cluster', 'meet', '127.0.0.1', String(second.port));
  await runtime.clock.sleep(3_000, forever);
  for (const name of NAMES) assert.equal(await first.call('-c', 'get', name), `${name} of the store!`);
});

test('a base of a cluster is looked into as one, and its masters are held as one', options, async () => {
  await using cluster = await startRedisCluster({ masters: 2 });
  for (const name of NAMES) await cluster.call('set', name, `${name} of the store`);
  const place = placeOfUrl(urlOf(cluster));
  await using recorder = await openAt(place);
  const base = await recordInMemory(await recorder.openBase(forever), forever);
  const listed = async (path: string): Promise<readonly string[]> => {
    const found: string[] = [];
    for await (const batch of listKeys(base, Buffer.from(path), { recursive: false }, forever)) {
      found.push(...batch.map(({ name }) => Buffer.from(name).toString()));
    }
    return found.toSorted((left, right) => (left < right ? -1 : 1));
  };
  assert.deepEqual(await listed(''), ['0']);
  assert.deepEqual(
    await listed('0'),
    NAMES.map((name) => `0/${name}`),
  );
  for (const name of NAMES) {
    const content = must(await readKey(base, Buffer.from(`0/${name}`), forever), 'its bytes');
    assert.equal(Buffer.concat(await Array.fromAsync(content)).toString(), `${name} of the store`);
  }
  assert.equal(await readKey(base, Buffer.from('0/none'), forever), undefined);
  const held = await holdStore(place, runtime, forever);
  let hasWritten = false;
  const written = cluster.call('set', 'k00', 'later').then(() => {
    hasWritten = true;
  });
  await runtime.clock.sleep(200, forever);
  assert.equal(hasWritten, false);
  await held[Symbol.asyncDispose]();
  await written;
  const findings = await diagnoseRedis(place, runtime, forever);
  assert.ok(
    findings.every(({ severity }) => severity !== 'error'),
    JSON.stringify(findings),
  );
  const masters = await cluster.masters();
  const first = must(
    masters.find(({ slots }) => slots[0]?.startsWith('0-')),
    'the owner',
  );
  const other = must(
    masters.find((master) => master !== first),
    'another one',
  );
  await cluster.at(first.port).call('cluster', 'setslot', '0', 'migrating', other.id);
  assert.match(JSON.stringify(await diagnoseRedis(place, runtime, forever)), /REDIS_SLOTS_MOVE/);
});

test('what a cluster acknowledged while it was kept comes back by an undo', options, async () => {
  await using cluster = await startRedisCluster({ masters: 3 });
  await using folder = temporaryFolder();
  await using recorder = await openAt(placeOfUrl(urlOf(cluster)));
  await cluster.call('set', 'a', '1');
  const from = await begin(recorder);
  await using followed = await follow(recorder, from);
  const base = await recordInMemory(await recorder.openBase(forever), forever);
  const to = await head(recorder);
  await followed.upTo(to);
  const place = placeOfUrl(urlOf(cluster));
  const context = { runtime, id: 'abc', replace: true, workFolder: folder.at('work') };
  let isOver = false;
  const restoring = restoreInto(urlOf(cluster), {
    base,
    followed,
    to,
    workFolder: context.workFolder,
    context,
  }).finally(() => {
    isOver = true;
  });
  const counted = await Promise.all(
    cluster.servers.map(async ({ port }) => {
      await using writer = await openClient(placeOfUrl(`redis://127.0.0.1:${port}`), forever);
      const replies = async (key: string): Promise<number> =>
        await writer.call(['INCR', key], forever).then(Number, () => 0);
      const keys = NAMES.map((name) => `{${name}}`);
      const tried = await Promise.all(keys.map(replies));
      const key = must(
        keys.find((_, index) => tried[index] === 1),
        'a key of this master',
      );
      let acknowledged = 1;
      while (!isOver) {
        const count = await replies(key);
        if (count <= acknowledged) break;
        acknowledged = count;
      }
      return { key, acknowledged };
    }),
  );
  await restoring;
  assert.equal(await cluster.call('get', 'a'), '1');
  await undoRestore(place, { ...context, turn: 1 }, forever);
  for (const { key, acknowledged } of counted) {
    assert.ok(acknowledged > 10, `${key}: ${acknowledged}`);
    assert.equal(await cluster.call('get', key), String(acknowledged));
  }
});
