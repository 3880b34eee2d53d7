import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { must } from '../../../src/core/must.ts';
import type { Position } from '../../../src/core/position.ts';
import type { Recorder } from '../../../src/core/recorder.ts';
import type { Runtime } from '../../../src/core/run.ts';
import { openPostgresRecorder } from '../../../src/connectors/postgres/recorder.ts';
import { parseLsn, placeOf } from '../../../src/connectors/postgres/lsn.ts';
import { temporaryFolder } from '../../../src/testing/tree/temporary-folder.ts';
import { startPostgres } from '../../servers/postgres.ts';
import type { PostgresServer } from '../../servers/postgres.ts';
import { placeOfUrl, Recording, runtime, tells } from './recording.ts';

const TIMEOUT = { timeout: 60_000 };

async function begun(recorder: Recorder, t: TestContext): Promise<Recording> {
  const run = { signal: t.signal };
  const from = await must(recorder.begin, 'a begin').call(recorder, run);
  return await Recording.open(recorder, from, run);
}

async function headOf(recorder: Recorder, t: TestContext) {
  return await must(recorder.head, 'a head').call(recorder, { signal: t.signal });
}

/** What the server has on its own disk. */
function segmentFile(server: PostgresServer, timeline: number, lsn: bigint): Buffer {
  const hex = (value: bigint): string => value.toString(16).toUpperCase().padStart(8, '0');
  const segment = lsn / 0x1000000n;
  return readFileSync(join(server.folder, 'pg_wal', hex(BigInt(timeline)) + hex(segment / 256n) + hex(segment % 256n)));
}

test(
  'the log is the server’s own, byte for byte, and covers what was committed before its head was asked',
  TIMEOUT,
  async (t) => {
    await using server = await startPostgres();
    await using state = temporaryFolder();
    await using recorder = await openPostgresRecorder(
      placeOfUrl(server.url),
      { runtime, stateFolder: state.path },
      { signal: t.signal },
    );
    await using recording = await begun(recorder, t);
    await server.query('CREATE TABLE t (n int); INSERT INTO t SELECT generate_series(1, 50000)');
    const head = await headOf(recorder, t);
    await recording.reaches(head);
    const { start, bytes } = recording.bytes();
    const file = segmentFile(server, 1, start);
    const common = Math.min(file.byteLength, bytes.byteLength);
    assert.ok(bytes.byteLength > 1_000_000);
    assert.equal(start % 0x1000000n, 0n, 'it begins with a segment');
    assert.ok(file.subarray(0, common).equals(bytes.subarray(0, common)));
    assert.match(head.resume, /^1\/[0-9A-F]+\/[0-9A-F]+$/);
    assert.equal(placeOf(head)?.lsn, BigInt(head.order));
  },
);

test(
  'on an idle server heads stay where they are, nothing is written for them, and heartbeats come',
  TIMEOUT,
  async (t) => {
    await using server = await startPostgres({ settings: { autovacuum: 'off', synchronous_commit: 'off' } });
    await using recorder = await openPostgresRecorder(placeOfUrl(server.url), { runtime }, { signal: t.signal });
    await using recording = await begun(recorder, t);
    await server.query('CREATE TABLE t (n int)');
    const first = await headOf(recorder, t);
    await recording.reaches(first);
    await server.query('CHECKPOINT');
    await recording.reaches(await headOf(recorder, t));
    const before = await server.value('SELECT pg_current_wal_insert_lsn()');
    for (let index = 0; index < 20; index++) await headOf(recorder, t);
    assert.equal(await server.value('SELECT pg_current_wal_insert_lsn()'), before);
    const { heartbeats } = recording;
    while (recording.heartbeats < heartbeats + 2) await recording.next();
  },
);

test('a commit that did not wait for the disk is covered', { timeout: 30_000 }, async (t) => {
  await using server = await startPostgres({
    settings: { synchronous_commit: 'off', wal_writer_delay: '10s', autovacuum: 'off' },
  });
  await using recorder = await openPostgresRecorder(placeOfUrl(server.url), { runtime }, { signal: t.signal });
  await using recording = await begun(recorder, t);
  await server.query('CREATE TABLE t (words text)');
  for (let round = 0; round < 5; round++) {
    await server.query(`INSERT INTO t VALUES ('word number ${round} of the test')`);
    await recording.reaches(await headOf(recorder, t));
    const { bytes } = recording.bytes();
    assert.ok(bytes.includes(`word number ${round} of the test`));
  }
});

test(
  'a log goes on where it was left, from recorder to recorder, and over a kill of the server',
  TIMEOUT,
  async (t) => {
    await using server = await startPostgres();
    await using state = temporaryFolder();
    const run = { signal: t.signal };
    const open = async (previous?: Recording): Promise<Recorder> =>
      await openPostgresRecorder(
        placeOfUrl(server.url),
        { runtime, stateFolder: state.path, previous: previous?.last },
        run,
      );
    let recording: Recording;
    {
      await using recorder = await open();
      await using first = await begun(recorder, t);
      recording = first;
      await server.query('CREATE TABLE t (n int); INSERT INTO t SELECT generate_series(1, 1000)');
      await first.reaches(await headOf(recorder, t));
      first.acknowledge();
    }
    for (let round = 0; round < 3; round++) {
      await server.query('INSERT INTO t SELECT generate_series(1, 3000)');
      await server.kill();
      await server.start();
      await server.query('INSERT INTO t SELECT generate_series(1, 3000)');
      await using recorder = await open(recording);
      assert.equal(recorder.lineage.id, recording.last.lineage);
      await using next = await Recording.open(recorder, recording.last, run);
      await next.reaches(await headOf(recorder, t));
      assert.equal(next.bytes().start, BigInt(recording.last.order));
      next.acknowledge();
      recording = next;
    }
  },
);

test('what is not pulled waits at the server, not in memory', TIMEOUT, async (t) => {
  await using server = await startPostgres({ settings: { max_wal_size: '2GB' } });
  await using recorder = await openPostgresRecorder(placeOfUrl(server.url), { runtime }, { signal: t.signal });
  await using recording = await begun(recorder, t);
  recording.hold();
  await server.query('CREATE TABLE t AS SELECT n, repeat(md5(n::text), 30) AS words FROM generate_series(1, 100000) n');
  const before = process.memoryUsage().arrayBuffers;
  await server.query('INSERT INTO t SELECT * FROM t');
  assert.ok(process.memoryUsage().arrayBuffers - before < 16_000_000);
  recording.release();
  await recording.reaches(await headOf(recorder, t));
  assert.ok(recording.bytes().bytes.byteLength > 200_000_000);
});

test(
  'a server stops at once although nothing is durable in the repository, and keeps what was not acknowledged',
  TIMEOUT,
  async (t) => {
    await using server = await startPostgres();
    await using state = temporaryFolder();
    const run = { signal: t.signal };
    const open = async (previous?: Position): Promise<Recorder> =>
      await openPostgresRecorder(placeOfUrl(server.url), { runtime, stateFolder: state.path, previous }, run);
    await using recorder = await open();
    await using recording = await begun(recorder, t);
    await server.query('CREATE TABLE t AS SELECT generate_series(1, 100000) AS n');
    const startMs = performance.now();
    await server.stop();
    assert.ok(performance.now() - startMs < 10_000);
    await assert.rejects(
      recording.reaches({ ...recording.last, order: 'z' }),
      tells('STORE_UNREACHABLE', /stops|lost/),
    );
    await server.start();
    await using again = await open(recording.from);
    await using next = await Recording.open(again, recording.from, run);
    await next.reaches(recording.last);
    const [first, second] = [recording.bytes().bytes, next.bytes().bytes];
    assert.ok(second.subarray(0, first.byteLength).equals(first));
  },
);

test(
  'what is durable in the repository is what the server may forget, until half of what it keeps at most is used',
  TIMEOUT,
  async (t) => {
    await using server = await startPostgres({ settings: { max_slot_wal_keep_size: '64MB', max_wal_size: '2GB' } });
    await using recorder = await openPostgresRecorder(placeOfUrl(server.url), { runtime }, { signal: t.signal });
    await using recording = await begun(recorder, t);
    const flushed = async (): Promise<bigint> =>
      must(
        parseLsn(await server.value("SELECT restart_lsn FROM pg_replication_slots WHERE slot_name = 'tidemark'")),
        'a place',
      );
    const started = await flushed();
    await server.query('CREATE TABLE t AS SELECT generate_series(1, 10000) AS n');
    await recording.reaches(await headOf(recorder, t));
    for (let beats = 0; beats < 3; beats++) await recording.next();
    assert.equal(await flushed(), started, 'nothing is acknowledged yet');
    recording.acknowledge();
    const acknowledged = BigInt(recording.last.order);
    while ((await flushed()) !== acknowledged) await recording.next();
    await server.query(
      'CREATE TABLE u AS SELECT n, repeat(md5(n::text), 30) AS words FROM generate_series(1, 40000) n',
    );
    await recording.reaches(await headOf(recorder, t));
    while ((await flushed()) - acknowledged < 8n * 1024n * 1024n) await recording.next();
  },
);

test('a server that stands still is told within a minute', TIMEOUT, async (t) => {
  await using server = await startPostgres();
  const { clock } = runtime;
  const hasty: Runtime = {
    ...runtime,
    clock: {
      nowMs: () => clock.nowMs(),
      monotonicMs: () => clock.monotonicMs() * 20,
      sleep: (delayMs, run) => clock.sleep(delayMs / 20, run),
    },
  };
  await using recorder = await openPostgresRecorder(placeOfUrl(server.url), { runtime: hasty }, { signal: t.signal });
  await using recording = await begun(recorder, t);
  await recording.reaches(await headOf(recorder, t));
  while (recording.heartbeats < 80) await recording.next();
  await server.pause();
  await assert.rejects(
    recording.reaches({ ...recording.last, order: 'z' }),
    tells('STORE_UNREACHABLE', /has said nothing for/),
  );
  await server.resume();
});

test('a mark’s name is a restore point in the log, before the head that is asked next', TIMEOUT, async (t) => {
  await using server = await startPostgres();
  await using recorder = await openPostgresRecorder(placeOfUrl(server.url), { runtime }, { signal: t.signal });
  await using recording = await begun(recorder, t);
  await must(recorder.label, 'labels').call(recorder, 'before-the-deploy', { signal: t.signal });
  const cutNames = ['x'.repeat(200), `${'x'.repeat(62)}éé`, `${'x'.repeat(61)}日本`, `${'x'.repeat(60)}🐘`];
  for (const name of cutNames) await must(recorder.label, 'labels').call(recorder, name, { signal: t.signal });
  const head = await headOf(recorder, t);
  await recording.reaches(head);
  const { start, bytes } = recording.bytes();
  const at = bytes.indexOf('before-the-deploy');
  assert.ok(at > 0 && start + BigInt(at) < BigInt(head.order));
});
