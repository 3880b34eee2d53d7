import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { comparePositions } from '../../../src/core/position.ts';
import { openPostgresRecorder } from '../../../src/connectors/postgres/recorder.ts';
import { temporaryFolder } from '../../../src/testing/tree/temporary-folder.ts';
import { startPostgres, untilCaughtUp } from '../../servers/postgres.ts';
import { headOf, opened, recorded, urlOf } from './following.ts';
import { placeOfUrl, Recording, runtime, tells } from './recording.ts';

const TIMEOUT = { timeout: 90_000 };

test(
  'after a failover the log goes on in the same lineage, on the new timeline, byte after byte',
  TIMEOUT,
  async (t) => {
    await using primary = await startPostgres();
    await using standby = await startPostgres({ standbyOf: { primary } });
    await using state = temporaryFolder();
    const url = urlOf(primary, standby);
    await primary.query('CREATE TABLE t (n int); INSERT INTO t SELECT generate_series(1, 1000)');
    const after = await recorded({ url, state: state.path }, t);
    await primary.query('INSERT INTO t SELECT generate_series(1, 1000)');
    await untilCaughtUp(standby, primary);
    await primary.kill();
    await standby.query('SELECT pg_promote()');
    await standby.query('INSERT INTO t SELECT generate_series(1, 1000)');
    await using now = await opened({ url, state: state.path, after }, t);
    assert.equal(now.recorder.lineage.id, after.lineage);
    const head = await headOf(now.recorder, t);
    await now.recording.reaches(head);
    now.recording.bytes();
    assert.match(after.resume, /^1\//);
    assert.match(head.resume, /^2\//);
    const timelines = now.recording.pieces.map(({ commit }) => commit?.position.resume.split('/')[0]);
    assert.deepEqual([...new Set(timelines)], ['1', '2']);
    await primary.start();
    await primary.query('INSERT INTO t SELECT generate_series(1, 100000)');
    await using later = await openPostgresRecorder(
      placeOfUrl(url),
      { runtime, stateFolder: state.path, previous: head },
      { signal: t.signal },
    );
    assert.equal(later.lineage.id, after.lineage, 'the old primary is not taken for the one that goes on');
  },
);

test('a standby that was promoted without all that was recorded is noticed', TIMEOUT, async (t) => {
  await using primary = await startPostgres();
  await using standby = await startPostgres({ standbyOf: { primary } });
  await using state = temporaryFolder();
  await primary.query('CREATE TABLE t (n int)');
  await untilCaughtUp(standby, primary);
  await standby.stop();
  await primary.query('INSERT INTO t SELECT generate_series(1, 1000)');
  const after = await recorded({ url: primary.url, state: state.path }, t);
  await primary.kill();
  await standby.start();
  await standby.query('SELECT pg_promote()');
  await standby.query('INSERT INTO t SELECT generate_series(1, 100000)');
  await using recorder = await openPostgresRecorder(
    placeOfUrl(standby.url),
    { runtime, stateFolder: state.path, previous: after },
    { signal: t.signal },
  );
  assert.notEqual(recorder.lineage.id, after.lineage);
  assert.match(recorder.lineage.brokenBy ?? '', /left timeline 1 before/);
  const { partedAt } = recorder.lineage;
  assert.match(partedAt?.resume ?? '', /^1\//);
  assert.ok(partedAt !== undefined && (comparePositions(partedAt, after) ?? 0) < 0);
  await assert.rejects(
    Recording.open(recorder, after, { signal: t.signal }),
    tells('POSITION_LOST', /left timeline 1 before/),
  );
});

test('a standby that is followed goes on when it is promoted', TIMEOUT, async (t) => {
  await using primary = await startPostgres();
  await using standby = await startPostgres({ standbyOf: { primary } });
  await using state = temporaryFolder();
  await primary.query('CREATE TABLE t (n int); CHECKPOINT');
  await untilCaughtUp(standby, primary);
  await standby.query('CHECKPOINT');
  await using now = await opened({ url: standby.url, state: state.path, options: { from: 'standby' } }, t);
  await primary.query('INSERT INTO t SELECT generate_series(1, 1000); INSERT INTO t VALUES (77)');
  await untilCaughtUp(standby, primary);
  await now.recording.reaches(await headOf(now.recorder, t));
  await primary.kill();
  await standby.query('SELECT pg_promote()');
  await standby.query('INSERT INTO t SELECT generate_series(1, 1000)');
  while (!now.recording.last.resume.startsWith('2/')) await now.recording.next();
  now.recording.bytes();
  await assert.rejects(headOf(now.recorder, t), tells('STORE_UNREACHABLE', /is no standby any more/));
});

test('a copy of the server, with all its identity and its slots, is not taken for it', TIMEOUT, async (t) => {
  await using server = await startPostgres();
  await using state = temporaryFolder();
  await server.query('CREATE TABLE t (n int)');
  const begun = await recorded({ url: server.url, state: state.path }, t);
  await server.stop();
  const folder = mkdtempSync(join(tmpdir(), 'tidemark-test-copy-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  execFileSync('cp', ['-a', `${server.folder}/.`, folder]);
  execFileSync('chown', ['--reference', server.folder, folder]);
  execFileSync('chmod', ['0700', folder]);
  await server.start();
  await server.query('INSERT INTO t SELECT generate_series(1, 1000)');
  const after = await recorded({ url: server.url, state: state.path, after: begun }, t);
  assert.equal(after.lineage, begun.lineage);
  await using copy = await startPostgres({ folder });
  const run = { signal: t.signal };
  const context = { runtime, stateFolder: state.path, previous: after };
  {
    await using recorder = await openPostgresRecorder(placeOfUrl(copy.url), context, run);
    assert.notEqual(recorder.lineage.id, after.lineage, 'it is behind');
    await assert.rejects(Recording.open(recorder, after, run), tells('POSITION_LOST', /older copy/));
  }
  await copy.query('INSERT INTO t SELECT generate_series(5, 200000)');
  await using recorder = await openPostgresRecorder(placeOfUrl(copy.url), context, run);
  await using recording = await Recording.open(recorder, after, run);
  await assert.rejects(
    recording.reaches({ ...after, order: 'z' }),
    tells('POSITION_LOST', /a copy that went its own way/),
  );
  assert.equal(recording.pieces.length, 0, 'nothing of it was taken');
});

test(
  'another server at the same address, a slot that was dropped, and a host that remembers nothing are noticed',
  TIMEOUT,
  async (t) => {
    await using server = await startPostgres();
    await using other = await startPostgres();
    await using state = temporaryFolder();
    await using empty = temporaryFolder();
    const run = { signal: t.signal };
    const after = await recorded({ url: server.url, state: state.path, options: { slot: 'mine' } }, t);
    const attempt = async (url: string, folder: string): Promise<void> => {
      const place = placeOfUrl(url, { options: { slot: 'mine' } });
      await using recorder = await openPostgresRecorder(place, { runtime, stateFolder: folder, previous: after }, run);
      await using _ = await Recording.open(recorder, after, run);
    };
    await attempt(server.url, state.path);
    await assert.rejects(attempt(other.url, state.path), tells('POSITION_LOST', /another one/));
    await assert.rejects(attempt(server.url, empty.path), tells('POSITION_LOST', /nothing is remembered/));
    await server.query("SELECT pg_drop_replication_slot('mine')");
    await assert.rejects(attempt(server.url, state.path), tells('POSITION_LOST', /slot mine is gone/));
  },
);

test('two recorders on one slot: the second one is told of the first', TIMEOUT, async (t) => {
  await using server = await startPostgres();
  await using state = temporaryFolder();
  await using otherState = temporaryFolder();
  const options = { slot: 'mine' };
  await using first = await opened({ url: server.url, state: state.path, options }, t);
  await assert.rejects(
    opened({ url: server.url, state: otherState.path, options }, t),
    tells('STORE_UNREACHABLE', /another recorder uses the replication slot mine: tidemark\//),
  );
  await server.query('CREATE TABLE t (n int)');
  await first.recording.reaches(await headOf(first.recorder, t));
});

test('a slot whose log the server had to remove is noticed', TIMEOUT, async (t) => {
  await using server = await startPostgres({
    settings: { max_slot_wal_keep_size: '1MB', max_wal_size: '32MB', min_wal_size: '32MB' },
  });
  await using state = temporaryFolder();
  const after = await recorded({ url: server.url, state: state.path }, t);
  for (let round = 0; round < 6; round++) {
    await server.query('CREATE TABLE IF NOT EXISTS t (n int); INSERT INTO t SELECT generate_series(1, 100000)');
    await server.query('SELECT pg_switch_wal(); CHECKPOINT');
  }
  await assert.rejects(opened({ url: server.url, state: state.path, after }, t), tells('POSITION_LOST', /is lost/));
  await using again = await opened({ url: server.url, state: state.path }, t);
  assert.notEqual(again.recorder.lineage.id, after.lineage);
});
