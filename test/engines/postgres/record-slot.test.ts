import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, renameSync, rmdirSync, rmSync } from 'node:fs';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { must } from '../../../src/core/must.ts';
import type { Recorder } from '../../../src/core/recorder.ts';
import type { Runtime } from '../../../src/core/run.ts';
import { openPostgresRecorder } from '../../../src/connectors/postgres/recorder.ts';
import { readTail, tailEnd } from '../../../src/connectors/postgres/log/kept-tail.ts';
import { parseLsn } from '../../../src/connectors/postgres/lsn.ts';
import { recordInMemory } from '../../../src/testing/tree/memory-base.ts';
import { temporaryFolder } from '../../../src/testing/tree/temporary-folder.ts';
import { startPostgres } from '../../servers/postgres.ts';
import type { PostgresServer } from '../../servers/postgres.ts';
import { placeOfUrl, Recording, runtime, tells } from './recording.ts';

const TIMEOUT = { timeout: 60_000 };
/** So little that a checkpoint removes what no slot keeps. */
const LITTLE_LOG = { max_wal_size: '32MB', min_wal_size: '32MB' };
const MANY_ROWS = 'SELECT n, repeat(md5(n::text), 30) AS words FROM generate_series(1, 40000) n';

async function begun(recorder: Recorder, t: TestContext): Promise<Recording> {
  const run = { signal: t.signal };
  const from = await must(recorder.begin, 'a begin').call(recorder, run);
  return await Recording.open(recorder, from, run);
}

async function headOf(recorder: Recorder, t: TestContext) {
  return await must(recorder.head, 'a head').call(recorder, { signal: t.signal });
}

async function keptFrom(server: PostgresServer): Promise<bigint> {
  return must(parseLsn(await server.value('SELECT restart_lsn FROM pg_replication_slots')), 'a place');
}

test(
  'the server keeps its log from the tail on that is on the disk, so that it can be compared after a kill',
  TIMEOUT,
  async (t) => {
    const run = { signal: t.signal };
    await using server = await startPostgres({ settings: LITTLE_LOG });
    await using state = temporaryFolder();
    const warnings: string[] = [];
    const logger: Runtime['logger'] = { log: (_level, message) => warnings.push(message) };
    const context = { runtime: { ...runtime, logger }, stateFolder: state.path };
    await using recorder = await openPostgresRecorder(placeOfUrl(server.url), context, run);
    const recording = await begun(recorder, t);
    // From here on no tail can be written.
    renameSync(state.at('wal-tail'), state.at('aside'));
    mkdirSync(state.at('wal-tail'));
    await server.query(`CREATE TABLE t AS ${MANY_ROWS}`);
    await recording.reaches(await headOf(recorder, t));
    recording.acknowledge();
    for (let beats = 0; beats < 3; beats++) await recording.next();
    const { last } = recording;
    const segmentOf = (lsn: bigint): bigint => lsn / 0x1000000n;
    assert.equal(segmentOf(await keptFrom(server)), segmentOf(readFileSync(state.at('aside')).readBigUInt64BE(0)));
    assert.equal(warnings.filter((message) => message.includes('can’t be remembered')).length, 1);
    await recording[Symbol.asyncDispose]();
    rmdirSync(state.at('wal-tail'));
    renameSync(state.at('aside'), state.at('wal-tail'));
    await server.query(`INSERT INTO t ${MANY_ROWS}`);
    await server.query('CHECKPOINT');
    await using again = await openPostgresRecorder(placeOfUrl(server.url), { ...context, previous: last }, run);
    await using next = await Recording.open(again, last, run);
    await next.reaches(await headOf(again, t));
  },
);

test(
  'no more of the log is remembered than is kept, so that a server that took over with less is still the same',
  TIMEOUT,
  async (t) => {
    const run = { signal: t.signal };
    await using server = await startPostgres();
    await using state = temporaryFolder();
    await using recorder = await openPostgresRecorder(
      placeOfUrl(server.url),
      { runtime, stateFolder: state.path },
      run,
    );
    const from = await must(recorder.begin, 'a begin').call(recorder, run);
    const rememberedEnd = async (): Promise<bigint> => tailEnd(must(await readTail(state.path), 'a tail'));
    const recorded = async (acknowledges: boolean): Promise<bigint> => {
      await using recording = await Recording.open(recorder, from, run, { keeps: false });
      await server.query(`CREATE TABLE t${acknowledges} AS ${MANY_ROWS}`);
      await recording.reaches(await headOf(recorder, t));
      if (acknowledges) recording.acknowledge();
      // Several times it might be remembered while it goes on.
      for (let beats = 0; beats < 3; beats++) await recording.next();
      return BigInt(recording.last.order);
    };
    await recorded(false);
    assert.ok((await rememberedEnd()) <= BigInt(from.order));
    const end = await recorded(true);
    assert.ok((await rememberedEnd()) > BigInt(from.order) && (await rememberedEnd()) <= end);
  },
);

test(
  'recorders on two hosts, whose state folders have the same path, record one server at once',
  TIMEOUT,
  async (t) => {
    await using server = await startPostgres();
    await using state = temporaryFolder();
    const context = { runtime, stateFolder: state.path };
    const open = async () => await openPostgresRecorder(placeOfUrl(server.url), context, { signal: t.signal });
    await using one = await open();
    await using first = await begun(one, t);
    // Of the other host nothing is in the folder yet.
    rmSync(state.at('recorder-id'));
    await using two = await open();
    await using second = await begun(two, t);
    const head = await headOf(two, t);
    await Promise.all([first.reaches(head), second.reaches(head)]);
    assert.equal(await server.value('SELECT count(*) FROM pg_replication_slots WHERE active'), '2');
  },
);

test(
  'a server without a bound of what it keeps is told of, and a bound that is set later counts at once',
  TIMEOUT,
  async (t) => {
    const warnings: string[] = [];
    const logger: Runtime['logger'] = { log: (_level, message) => warnings.push(message) };
    await using server = await startPostgres({ settings: { max_wal_size: '2GB' } });
    const context = { runtime: { ...runtime, logger } };
    await using recorder = await openPostgresRecorder(placeOfUrl(server.url), context, { signal: t.signal });
    await using recording = await begun(recorder, t);
    assert.match(warnings.join(), /no max_slot_wal_keep_size/);
    const started = await keptFrom(server);
    await server.query(`CREATE TABLE t AS ${MANY_ROWS}`);
    await recording.reaches(await headOf(recorder, t));
    for (let beats = 0; beats < 3; beats++) await recording.next();
    assert.equal(await keptFrom(server), started);
    await server.query("ALTER SYSTEM SET max_slot_wal_keep_size = '64MB'");
    await server.query('SELECT pg_reload_conf()');
    // A backend that was not told of it yet may answer the first.
    while ((await keptFrom(server)) === started) {
      await headOf(recorder, t);
      await recording.next();
    }
  },
);

test('a server that soon takes a silent standby for dead is recorded like any other', TIMEOUT, async (t) => {
  await using server = await startPostgres({ settings: { wal_sender_timeout: '1s', autovacuum: 'off' } });
  await using recorder = await openPostgresRecorder(placeOfUrl(server.url), { runtime }, { signal: t.signal });
  await using recording = await begun(recorder, t);
  while (recording.heartbeats < 8) await recording.next();
});

test(
  'a base without a log beside it is whole, however much the server writes and removes meanwhile',
  TIMEOUT,
  async (t) => {
    const run = { signal: t.signal };
    await using server = await startPostgres({ settings: LITTLE_LOG });
    await server.query(`CREATE TABLE t AS ${MANY_ROWS}`);
    await using recorder = await openPostgresRecorder(placeOfUrl(server.url), { runtime }, run);
    {
      await using base = await recorder.openBase(run);
      for (let round = 0; round < 4; round++) {
        await server.query(`CREATE TABLE u${round} AS ${MANY_ROWS}`);
        await server.query('CHECKPOINT');
      }
      const { end } = await recordInMemory(base, run);
      assert.equal(end.cut.order, end.logFrom.order);
    }
    while ((await server.value('SELECT count(*) FROM pg_replication_slots')) !== '0') await headOf(recorder, t);
  },
);

test(
  'who waits while another one’s answer hangs may leave, and nobody passes the one that is asking',
  TIMEOUT,
  async (t) => {
    await using server = await startPostgres();
    await using recorder = await openPostgresRecorder(placeOfUrl(server.url), { runtime }, { signal: t.signal });
    await server.pause();
    const first = headOf(recorder, t);
    const leaving = new AbortController();
    const second = must(recorder.head, 'a head').call(recorder, { signal: leaving.signal });
    leaving.abort(new Error('it takes too long'));
    await assert.rejects(second, /it takes too long/);
    const third = headOf(recorder, t);
    await server.resume();
    assert.deepEqual(await third, await first);
  },
);

test('a slot that is named is another host’s as long as that uses it', TIMEOUT, async (t) => {
  await using server = await startPostgres();
  const [one, two] = [temporaryFolder(), temporaryFolder()];
  await using _one = one;
  await using _two = two;
  const place = placeOfUrl(server.url, { options: { slot: 'named' } });
  const run = { signal: t.signal };
  await using first = await openPostgresRecorder(place, { runtime, stateFolder: one.path }, run);
  await using recording = await begun(first, t);
  await using second = await openPostgresRecorder(place, { runtime, stateFolder: two.path }, run);
  await assert.rejects(
    begun(second, t),
    tells('STORE_UNREACHABLE', /another recorder uses the replication slot named/),
  );
  await recording.reaches(await headOf(first, t));
});
