import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { isTidemarkError } from '../../../src/core/errors.ts';
import { must } from '../../../src/core/must.ts';
import type { Position } from '../../../src/core/position.ts';
import type { Recorder } from '../../../src/core/recorder.ts';
import { createSeededRandom } from '../../../src/flow/random.ts';
import { recordInMemory } from '../../../src/testing/tree/memory-base.ts';
import { temporaryFolder } from '../../../src/testing/tree/temporary-folder.ts';
import { startProxy } from '../../servers/proxy.ts';
import { startRedis } from '../../servers/redis.ts';
import type { RedisServer } from '../../servers/redis.ts';
import {
  digestOf,
  feed,
  Followed,
  forever,
  openAt,
  placeOfUrl,
  runtime,
  startWith,
  untilCaughtUp,
} from './recording.ts';

async function begin(recorder: Recorder): Promise<Position> {
  return await must(recorder.begin, 'a beginning').call(recorder, forever);
}

async function head(recorder: Recorder): Promise<Position> {
  return await must(recorder.head, 'a head').call(recorder, forever);
}

async function follow(recorder: Recorder, after: Position): Promise<Followed> {
  return new Followed(await must(recorder.openLog, 'a log').call(recorder, after, forever));
}

/** Writes of many kinds; the server makes some of them into others before it passes them on. */
function edits(seed: string, count: number): readonly (readonly string[])[] {
  const random = createSeededRandom(seed);
  const key = (): string => `k${random.integer(50)}`;
  return Array.from({ length: count }, (): readonly string[] => {
    switch (random.integer(9)) {
      case 0:
        return ['SET', key(), 'v'.repeat(random.integer(300))];
      case 1:
        return ['DEL', key(), key()];
      case 2:
        return ['SET', `t${random.integer(9)}`, 'x', 'EX', '1000'];
      case 3:
        return ['SELECT', String(random.integer(3))];
      case 4:
        return [
          'EVAL',
          "redis.call('SET', KEYS[1], 1) redis.call('INCR', KEYS[1]) return 1",
          '1',
          `e${random.integer(9)}`,
        ];
      case 5:
        return ['XADD', `x${random.integer(3)}`, '*', 'field', 'value'];
      case 6:
        return ['SADD', `s${random.integer(3)}`, key()];
      case 7:
        return ['SPOP', `s${random.integer(3)}`];
      default:
        return ['RPUSH', `l${random.integer(3)}`, key(), key()];
    }
  });
}

for (const transfer of ['diskless', 'disk'] as const) {
  test(`base and log together are what the server holds (${transfer})`, async () => {
    await using server = await startRedis({ transfer });
    await server.script(edits(`before ${transfer}`, 500).map((words) => words.map((word) => `"${word}"`).join(' ')));
    await using recorder = await openAt(placeOfUrl(server.url));
    const from = await begin(recorder);
    await using followed = await follow(recorder, from);
    const base = await recordInMemory(await recorder.openBase(forever), forever);
    assert.deepEqual([base.end.cut, base.end.logFrom], [from, from]);
    await server.pipe(edits(`after ${transfer}`, 3_000));
    const position = await head(recorder);
    await followed.upTo(position);
    await using loaded = await startWith(base);
    await feed(loaded.server.port, followed.bytes(from));
    assert.equal(await digestOf(loaded.server), await digestOf(server));
    // A base in between goes on from the same log.
    const second = await recordInMemory(await recorder.openBase(forever), forever);
    await server.pipe(edits(`later ${transfer}`, 500));
    await followed.upTo(await head(recorder));
    await using reloaded = await startWith(second);
    const all = followed.bytes(from);
    await feed(reloaded.server.port, all.subarray(Number(BigInt(second.end.cut.order) - BigInt(from.order))));
    assert.equal(await digestOf(reloaded.server), await digestOf(server));
  });
}

test('positions are the same text whoever says them, and an idle log says once a second that it is at its end', async () => {
  await using server = await startRedis();
  await using recorder = await openAt(placeOfUrl(server.url));
  const from = await begin(recorder);
  await using followed = await follow(recorder, from);
  await server.call('SET', 'a', 'b');
  const position = await head(recorder);
  await followed.upTo(position);
  const ends = (): number =>
    followed.pieces.filter(({ changes, commit }) => changes.length === 0 && commit?.position.order === position.order)
      .length;
  while (ends() < 2) await runtime.clock.sleep(50, forever);
  assert.deepEqual(await head(recorder), followed.last);
  await (await recorder.openBase(forever))[Symbol.asyncDispose]();
  const base = await recordInMemory(await recorder.openBase(forever), forever);
  await followed.upTo(base.end.cut);
  const told = followed.pieces.find(({ commit }) => commit?.position.order === base.end.cut.order);
  assert.deepEqual(told?.commit?.position, base.end.cut);
});

test('who asks a recorder that is closed opens nothing that nobody closes', async () => {
  await using server = await startRedis();
  const recorder = await openAt(placeOfUrl(server.url));
  await recorder[Symbol.asyncDispose]();
  await assert.rejects(head(recorder), /not recorded any more/);
  // The one that asks.
  while ((await server.info('clients'))['connected_clients'] !== '1') await runtime.clock.sleep(20, forever);
});

test('a server to which nobody writes stands still, though it says every second that it is there', async () => {
  await using server = await startRedis({ args: ['--repl-ping-replica-period', '1'] });
  await using recorder = await openAt(placeOfUrl(server.url));
  const from = await begin(recorder);
  await using followed = await follow(recorder, from);
  await server.call('SET', 'a', 'b');
  const position = await head(recorder);
  await followed.upTo(position);
  const offset = async (): Promise<number> => Number((await server.info('replication'))['master_repl_offset']);
  while ((await offset()) < Number(position.order) + 40) await runtime.clock.sleep(50, forever);
  // One that is just under way would be told, and wanted, before it is here.
  await server.call('CONFIG', 'SET', 'repl-ping-replica-period', '3600');
  await runtime.clock.sleep(1_200, forever);
  assert.deepEqual([await head(recorder), followed.last], [position, position]);
  await using _first = await recorder.openBase(forever);
  const { cut } = (await recordInMemory(await recorder.openBase(forever), forever)).end;
  await followed.upTo(cut);
  assert.deepEqual(await head(recorder), cut, 'it stands at a new base');
  await server.call('SET', 'a', 'c');
  const later = await head(recorder);
  await followed.upTo(later);
  assert.equal(BigInt(followed.bytes(from).byteLength), BigInt(later.order) - BigInt(from.order));
});

test('what was cut is followed on from where it was, byte for byte, under load', async () => {
  await using server = await startRedis();
  await using proxy = await startProxy({ toPort: server.port });
  const place = placeOfUrl(`redis://127.0.0.1:${proxy.port}`);
  const random = createSeededRandom('cuts');
  let known: Position | undefined;
  const bytes: Buffer[] = [];
  const recorder = await openAt(place);
  const from = await begin(recorder);
  const base = await recordInMemory(await recorder.openBase(forever), forever);
  let after = from;
  let open: Recorder = recorder;
  for (let round = 0; round < 8; round++) {
    await using followed = await follow(open, after);
    const writing = server.pipe(edits(`round ${round}`, 3_000));
    await runtime.clock.sleep(random.integer(60), forever);
    if (round % 3 === 2) proxy.slow({ bytesPerSecond: 200_000 });
    proxy.cut();
    const error = await followed.failed();
    assert.ok(isTidemarkError(error, 'STORE_UNREACHABLE'), String(error));
    proxy.slow({ bytesPerSecond: Number.POSITIVE_INFINITY });
    await writing;
    bytes.push(followed.bytes(after));
    after = followed.last ?? after;
    known = after;
    await open[Symbol.asyncDispose]();
    open = await openAt(place, { previous: known });
    assert.equal(open.lineage.id, from.lineage);
  }
  await using last = await follow(open, after);
  await last.upTo(await head(open));
  await using loaded = await startWith(base);
  await feed(loaded.server.port, Buffer.concat([...bytes, last.bytes(after)]));
  assert.equal(await digestOf(loaded.server), await digestOf(server));
  await open[Symbol.asyncDispose]();
});

test('a slow network during the transfer neither breaks the link nor loses what is written meanwhile', async () => {
  await using server = await startRedis();
  await server.call('DEBUG', 'POPULATE', '2000', 'key', '200');
  await using proxy = await startProxy({ toPort: server.port });
  proxy.slow({ bytesPerSecond: 300_000 });
  proxy.delay(20);
  await using recorder = await openAt(placeOfUrl(`redis://127.0.0.1:${proxy.port}`));
  const beginning = begin(recorder);
  await server.pipe(edits('meanwhile', 2_000));
  const from = await beginning;
  await using followed = await follow(recorder, from);
  const base = await recordInMemory(await recorder.openBase(forever), forever);
  await followed.upTo(await head(recorder));
  await using loaded = await startWith(base);
  await feed(loaded.server.port, followed.bytes(from));
  assert.equal(await digestOf(loaded.server), await digestOf(server));
});

test('a server that is killed and comes back without its data has begun a new history', async () => {
  await using server = await startRedis();
  await using recorder = await openAt(placeOfUrl(server.url));
  const from = await begin(recorder);
  await using followed = await follow(recorder, from);
  await server.call('SET', 'a', 'b');
  await followed.upTo(await head(recorder));
  await server.kill();
  assert.ok(isTidemarkError(await followed.failed(), 'STORE_UNREACHABLE'));
  await assert.rejects(head(recorder), (error) => isTidemarkError(error, 'STORE_UNREACHABLE'));
  await server.start();
  const after = must(followed.last, 'a position');
  await using second = await openAt(placeOfUrl(server.url), { previous: after });
  assert.notEqual(second.lineage.id, from.lineage);
  await assert.rejects(
    follow(recorder, after),
    (error) => isTidemarkError(error, 'POSITION_LOST') && error.disposition === 'resync',
  );
});

test('a server that saves when it stops goes on in its lineage, and the log with it', async () => {
  await using folder = temporaryFolder();
  await using server = await startRedis({
    folder: folder.path,
    args: ['--save', '3600 1', '--repl-ping-replica-period', '1'],
  });
  await using recorder = await openAt(placeOfUrl(server.url));
  const from = await begin(recorder);
  const base = await recordInMemory(await recorder.openBase(forever), forever);
  await using followed = await follow(recorder, from);
  await server.pipe(edits('before', 500));
  await followed.upTo(await head(recorder));
  // As when all of it is in the repository: the server waits for that before it stops.
  followed.log.acknowledge(must(followed.last, 'a position'));
  const { order } = must(followed.last, 'a position');
  const isPinged = async (): Promise<boolean> =>
    (await server.info('replication'))['master_repl_offset'] !== String(BigInt(order));
  while (!(await isPinged())) await runtime.clock.sleep(50, forever);
  await server.restart();
  assert.match(server.log() + readFileSync(join(folder.path, 'server.log'), 'utf8'), /bye bye/);
  assert.doesNotMatch(readFileSync(join(folder.path, 'server.log'), 'utf8'), /Lagging replica/);
  await followed.failed();
  const after = must(followed.last, 'a position');
  await using second = await openAt(placeOfUrl(server.url), { previous: after });
  assert.equal(second.lineage.id, from.lineage);
  await using on = await follow(second, after);
  await server.pipe(edits('after', 500));
  await on.upTo(await head(second));
  await using loaded = await startWith(base);
  await feed(loaded.server.port, Buffer.concat([followed.bytes(from), on.bytes(after)]));
  assert.equal(await digestOf(loaded.server), await digestOf(server));
});

test('a server that comes back from an earlier save is not taken for the same history', async () => {
  await using folder = temporaryFolder();
  await using server = await startRedis({ folder: folder.path, args: ['--save', '3600 1000000'] });
  await using recorder = await openAt(placeOfUrl(server.url));
  const from = await begin(recorder);
  await using followed = await follow(recorder, from);
  await server.call('SET', 'a', 'b');
  while ((await server.info('persistence'))['rdb_bgsave_in_progress'] !== '0') await runtime.clock.sleep(10, forever);
  await server.call('SAVE');
  await server.call('SET', 'a', 'c');
  await followed.upTo(await head(recorder));
  await server.kill();
  await followed.failed();
  await server.start();
  assert.equal(await server.call('GET', 'a'), 'b');
  await using second = await openAt(placeOfUrl(server.url), { previous: followed.last });
  assert.notEqual(second.lineage.id, from.lineage);
});

test('when the backlog does not reach back the position is lost, and the message says why', async () => {
  await using server = await startRedis({ args: ['--repl-backlog-size', '16kb'] });
  const place = placeOfUrl(server.url);
  await using recorder = await openAt(place);
  const from = await begin(recorder);
  await server.pipe(Array.from({ length: 2_000 }, (_, index) => ['SET', `k${index}`, 'v'.repeat(100)]));
  // As long as its link is there the server keeps what it has to send on it.
  await recorder[Symbol.asyncDispose]();
  await using second = await openAt(place, { previous: from });
  assert.equal(second.lineage.id, from.lineage);
  const children = (await server.info('stats'))['total_forks'];
  await assert.rejects(
    follow(second, from),
    (error) => isTidemarkError(error, 'POSITION_LOST') && /repl-backlog-size 16384/.test(error.message),
  );
  assert.equal((await server.info('stats'))['total_forks'], children, 'no RDB was made in vain');
});

test('another server on the same address is noticed', async () => {
  await using one = await startRedis();
  await using other = await startRedis();
  await using proxy = await startProxy({ toPort: one.port });
  const place = placeOfUrl(`redis://127.0.0.1:${proxy.port}`);
  await using recorder = await openAt(place);
  const from = await begin(recorder);
  await using followed = await follow(recorder, from);
  await one.call('SET', 'a', 'b');
  await followed.upTo(await head(recorder));
  proxy.leadTo(other.port);
  proxy.cut();
  await followed.failed();
  await assert.rejects(head(recorder), (error) => isTidemarkError(error, 'STORE_UNREACHABLE'));
  await using second = await openAt(place, { previous: followed.last });
  assert.notEqual(second.lineage.id, from.lineage);
  await assert.rejects(follow(second, must(followed.last, 'a position')), (error) =>
    isTidemarkError(error, 'POSITION_LOST'),
  );
});

test('two recorders on one store each have all of it', async () => {
  await using server = await startRedis();
  const place = placeOfUrl(server.url);
  await using left = await openAt(place);
  await using right = await openAt(place);
  const [a, b] = [await begin(left), await begin(right)];
  await using leftLog = await follow(left, a);
  await using rightLog = await follow(right, b);
  await server.pipe(edits('both', 1_000));
  const position = await head(left);
  await leftLog.upTo(position);
  await rightLog.upTo(position);
  const from = a.order < b.order ? b : a;
  const between = (followed: Followed, began: Position): Buffer => {
    const at = (place: Position): number => Number(BigInt(place.order) - BigInt(began.order));
    return followed.bytes(began).subarray(at(from), at(position));
  };
  assert.ok(between(leftLog, a).byteLength > 10_000);
  assert.ok(between(leftLog, a).equals(between(rightLog, b)));
});

async function promote(replica: RedisServer): Promise<void> {
  await replica.call('REPLICAOF', 'NO', 'ONE');
}

test('a replica that becomes master goes on in the lineage, and the old master is a fork', async () => {
  await using master = await startRedis();
  await using replica = await startRedis({ replicaOf: master });
  await using proxy = await startProxy({ toPort: master.port });
  const place = placeOfUrl(`redis://127.0.0.1:${proxy.port}`);
  await using recorder = await openAt(place);
  const from = await begin(recorder);
  const base = await recordInMemory(await recorder.openBase(forever), forever);
  await using followed = await follow(recorder, from);
  await master.pipe(edits('before', 1_000));
  await followed.upTo(await head(recorder));
  await untilCaughtUp(replica, master);
  await promote(replica);
  proxy.leadTo(replica.port);
  proxy.cut();
  await followed.failed();
  const after = must(followed.last, 'a position');
  await using second = await openAt(place, { previous: after });
  assert.equal(second.lineage.id, from.lineage);
  await using on = await follow(second, after);
  await replica.pipe(edits('after', 1_000));
  const position = await head(second);
  await on.upTo(position);
  assert.notEqual(position.resume.split(':')[0], after.resume.split(':')[0], 'the id is the new one');
  await using loaded = await startWith(base);
  await feed(loaded.server.port, Buffer.concat([followed.bytes(from), on.bytes(after)]));
  assert.equal(await digestOf(loaded.server), await digestOf(replica));

  await master.call('SET', 'only', 'here');
  proxy.leadTo(master.port);
  await using third = await openAt(place, { previous: position });
  assert.notEqual(third.lineage.id, from.lineage, 'what the old master did alone is another history');
});

test('a replica that had not received all is not followed', async () => {
  await using master = await startRedis();
  await using replica = await startRedis({ replicaOf: master });
  await using proxy = await startProxy({ toPort: master.port });
  const place = placeOfUrl(`redis://127.0.0.1:${proxy.port}`);
  await using recorder = await openAt(place);
  const from = await begin(recorder);
  await using followed = await follow(recorder, from);
  await untilCaughtUp(replica, master);
  await replica.pause();
  // More than the network between them holds.
  await master.pipe(Array.from({ length: 20_000 }, (_, index) => ['SET', `k${index}`, 'v'.repeat(1_000)]));
  const position = await head(recorder);
  await followed.upTo(position);
  await master.kill();
  await replica.resume();
  await promote(replica);
  proxy.leadTo(replica.port);
  await using second = await openAt(place, { previous: position });
  assert.notEqual(second.lineage.id, from.lineage);
});

test('a replica is refused, with the address of its master', async () => {
  await using master = await startRedis();
  await using replica = await startRedis({ replicaOf: master });
  await assert.rejects(
    openAt(placeOfUrl(replica.url)),
    (error) => isTidemarkError(error, 'STORE_UNREACHABLE') && error.message.includes(`127.0.0.1:${master.port}`),
  );
});

test('the master hears what is durable, and at once when a client waits for that', async () => {
  await using server = await startRedis();
  await using recorder = await openAt(placeOfUrl(server.url));
  const from = await begin(recorder);
  await using followed = await follow(recorder, from);
  await server.call('SET', 'a', 'b');
  assert.equal(await server.script(['SET a c', 'WAIT 1 300']), 'OK\n0', 'nothing is durable yet');
  const acknowledging = setInterval(() => {
    if (followed.last !== undefined) followed.log.acknowledge(followed.last);
  }, 5);
  assert.equal(await server.script(['SET a d', 'WAIT 1 5000']), 'OK\n1');
  clearInterval(acknowledging);
  assert.match((await server.info('replication'))['slave0'] ?? '', /ip=tidemark-recorder,port=0,state=online/);
});

test('the recorder stays within bounds while the log is not pulled', async () => {
  await using server = await startRedis({ args: ['--client-output-buffer-limit', 'replica 0 0 0'] });
  await using recorder = await openAt(placeOfUrl(server.url));
  const from = await begin(recorder);
  await using log = await must(recorder.openLog, 'a log').call(recorder, from, forever);
  const rssBefore = process.memoryUsage().rss;
  const load = spawn(
    'redis-benchmark',
    ['-p', String(server.port), '-t', 'set', '-n', '300000', '-d', '1000', '-P', '16', '-q'],
    { stdio: 'ignore' },
  );
  await once(load, 'close');
  assert.ok(process.memoryUsage().rss - rssBefore < 100e6, 'what is not pulled waits at the server');
  await using followed = new Followed(log);
  await followed.upTo(await head(recorder), 60_000);
  assert.ok(followed.bytes(from).byteLength > 300e6);
});
