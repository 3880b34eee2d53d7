import assert from 'node:assert/strict';
import { appendFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { openPostgresRecorder } from '../../../src/connectors/postgres/recorder.ts';
import { isTidemarkError } from '../../../src/core/errors.ts';
import { must } from '../../../src/core/must.ts';
import type { Position } from '../../../src/core/position.ts';
import { temporaryFolder } from '../../../src/testing/tree/temporary-folder.ts';
import { waitUntil } from '../../servers/guarded.ts';
import { startProxy } from '../../servers/proxy.ts';
import { promote, startPostgres, untilCaughtUp } from '../../servers/postgres.ts';
import { headOf, opened, recorded, urlOf } from './following.ts';
import { placeOfUrl, runtime, tells } from './recording.ts';

const TIMEOUT = { timeout: 120_000 };
/** Of connections of ours those for SQL. */
const END_SQL =
  "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'tidemark/%' AND backend_type = 'client backend'";
const KEEP = { wal_keep_size: '512MB' };

test(
  'the log of a primary is left for that of the one that was promoted, whose head it would never reach',
  TIMEOUT,
  async (t) => {
    await using primary = await startPostgres();
    await primary.query('CREATE TABLE t (n int)');
    await using standby = await startPostgres({ standbyOf: { primary } });
    await using state = temporaryFolder();
    const url = urlOf(primary, standby);
    await using now = await opened({ url, state: state.path }, t);
    await now.recording.reaches(await headOf(now.recorder, t));
    await untilCaughtUp(standby, primary);
    await promote(standby);
    await primary.query(
      "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'tidemark/%' AND backend_type = 'client backend'",
    );
    await standby.query('INSERT INTO t SELECT generate_series(1, 1000)');
    let head: Position | undefined;
    await waitUntil('the promoted one is asked', async () => {
      head = await headOf(now.recorder, t);
      return head.resume.startsWith('2/');
    });
    await primary.query('INSERT INTO t SELECT generate_series(1, 100000)');
    const reached = now.recording.reaches(must(head, 'a head'));
    await assert.rejects(reached, tells('STORE_UNREACHABLE', /has been promoted/));
    await using later = await opened({ url, state: state.path, after: now.recording.last }, t);
    assert.equal(later.recorder.lineage.id, now.recorder.lineage.id);
    await later.recording.reaches(must(head, 'a head'));
  },
);

test(
  'no head is taken from another server at the same address while the log still comes from the first one',
  TIMEOUT,
  async (t) => {
    await using server = await startPostgres();
    await using other = await startPostgres();
    await using proxy = await startProxy({ toPort: server.port });
    await using state = temporaryFolder();
    const url = server.url.replace(`:${server.port}/`, `:${proxy.port}/`);
    await using now = await opened({ url, state: state.path }, t);
    await now.recording.reaches(await headOf(now.recorder, t));
    proxy.leadTo(other.port);
    await server.query(END_SQL);
    const isRefused = tells('POSITION_LOST', /another one/);
    await waitUntil('the other one is asked', async () => {
      const answer = await headOf(now.recorder, t).catch((error: unknown) => isTidemarkError(error, 'POSITION_LOST'));
      return answer === true;
    });
    for (let tries = 0; tries < 3; tries++) await assert.rejects(headOf(now.recorder, t), isRefused);
  },
);

test('a head is on the newest timeline, also while the log still comes from one before it', TIMEOUT, async (t) => {
  await using first = await startPostgres({ settings: KEEP });
  await using second = await startPostgres({ standbyOf: { primary: first }, settings: KEEP });
  await using state = temporaryFolder();
  const after = await recorded({ url: first.url, state: state.path }, t);
  await first.query("SELECT pg_logical_emit_message(true, 'x', repeat('x', 100000))");
  await untilCaughtUp(second, first);
  await first.kill();
  await promote(second);
  await second.query("CREATE TABLE t AS SELECT repeat('x', 1000) FROM generate_series(1, 20000)");
  await using third = await startPostgres({ standbyOf: { primary: second }, settings: KEEP });
  await second.kill();
  await promote(third);
  await third.query('INSERT INTO t SELECT * FROM t');
  const run = { signal: t.signal };
  const context = { runtime, stateFolder: state.path, previous: after };
  await using recorder = await openPostgresRecorder(placeOfUrl(third.url), context, run);
  await using log = await must(recorder.openLog, 'a log').call(recorder, after, run);
  const timelines = new Set<string>();
  for await (const batch of log) {
    for (const { commit } of batch) timelines.add(commit?.position.resume.split('/')[0] ?? '');
    assert.match((await headOf(recorder, t)).resume, /^3\//);
    if (timelines.has('3')) break;
  }
  assert.deepEqual([...timelines], ['1', '2', '3']);
});

test('a server that is promoted again does not need the slot that it lost as a standby', TIMEOUT, async (t) => {
  const settings = {
    max_slot_wal_keep_size: '64MB',
    max_wal_size: '32MB',
    min_wal_size: '32MB',
    wal_keep_size: '48MB',
  };
  await using one = await startPostgres({ settings });
  await using two = await startPostgres({ standbyOf: { primary: one }, settings });
  await using state = temporaryFolder();
  const url = urlOf(one, two);
  const slots = "SELECT count(*) FROM pg_replication_slots WHERE wal_status = 'lost'";
  let after = await recorded({ url, state: state.path }, t);
  const { lineage } = after;
  await one.stop();
  await promote(two);
  appendFileSync(
    join(one.folder, 'postgresql.conf'),
    `primary_conninfo = 'host=${two.socketFolder} port=${two.port} user=postgres application_name=standby'\n`,
  );
  appendFileSync(join(one.folder, 'standby.signal'), '');
  await one.start();
  for (let round = 0; (await one.value(slots)) === '0'; round++) {
    assert.ok(round < 20, 'it never loses its slot');
    await two.query(
      "SELECT pg_logical_emit_message(false, 'x', repeat('x', 10000000)); SELECT pg_switch_wal(); CHECKPOINT",
    );
    after = await recorded({ url, state: state.path, after }, t);
    await untilCaughtUp(one, two);
    await one.query('CHECKPOINT');
  }
  await two.stop();
  await promote(one);
  await one.query('CREATE TABLE t (n int)');
  after = await recorded({ url, state: state.path, after }, t);
  assert.match(after.resume, /^3\//);
  assert.equal(after.lineage, lineage);
});
