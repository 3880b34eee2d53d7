import assert from 'node:assert/strict';
import {
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { positionOf } from '../../../src/connectors/postgres/lsn.ts';
import { previewDataDirectory } from '../../../src/connectors/postgres/preview.ts';
import { DataDirectoryRestorer } from '../../../src/connectors/postgres/data-directory-restorer.ts';
import { discardDataDirectory, undoDataDirectory } from '../../../src/connectors/postgres/undo.ts';
import { openPostgresRecorder } from '../../../src/connectors/postgres/recorder.ts';
import { compareBytes } from '../../../src/core/bytes.ts';
import { isTidemarkError } from '../../../src/core/errors.ts';
import { memoryReader, recordInMemory } from '../../../src/testing/tree/memory-base.ts';
import type { TemporaryFolder } from '../../../src/testing/tree/temporary-folder.ts';
import { promote, serverOwner, startPostgres, untilCaughtUp } from '../../servers/postgres.ts';
import type { PostgresServer } from '../../servers/postgres.ts';
import { flush, insertPosition, LINEAGE, logOf, run, runtime, takeBase } from './fixture.ts';
import { placeOfUrl } from './recording.ts';
import { numbersIn, restoreTo, SEGMENT, SETTINGS, sharedFolder } from './restore-fixture.ts';

const KEEP = { wal_keep_size: '4GB' };

async function stampedServer(): Promise<PostgresServer> {
  const server = await startPostgres({ settings: KEEP });
  await server.query('CREATE TABLE stamps (n int PRIMARY KEY)');
  return server;
}

async function stamp(server: PostgresServer, n: number): Promise<bigint> {
  await server.query(`INSERT INTO stamps VALUES (${n})`);
  const lsn = await insertPosition(server);
  await flush(server);
  return lsn;
}

function ownedFolder(folder: TemporaryFolder, name: string): string {
  const path = folder.at(name);
  mkdirSync(path, { mode: 0o700 });
  const owner = serverOwner();
  if (owner) chownSync(path, owner.uid, owner.gid);
  return path;
}

test('a log that begins in the middle of a file is enough', async () => {
  await using server = await stampedServer();
  await using folder = sharedFolder();
  await stamp(server, 1);
  const taken = await takeBase(server, folder.at('base'));
  const lsn = await stamp(server, 2);
  await stamp(server, 3);
  assert.notEqual(taken.start % SEGMENT, 0n);
  await restoreTo({ server, taken, target: folder.at('restored'), lsn, from: taken.start });
  assert.deepEqual(await numbersIn(folder.at('restored')), [1, 2]);
});

test('tablespaces are restored beside, or where the operator says, and those that the log creates touch no other folder', async () => {
  await using server = await stampedServer();
  await using folder = sharedFolder();
  const [first, second, later] = ['first', 'second', 'later'].map((name) => ownedFolder(folder, name));
  await server.query(`CREATE TABLESPACE first LOCATION '${first}'`);
  await server.query(`CREATE TABLESPACE second LOCATION '${second}'`);
  await server.query('CREATE TABLE a (n int) TABLESPACE first; INSERT INTO a VALUES (1)');
  await server.query('CREATE TABLE b (n int) TABLESPACE second; INSERT INTO b VALUES (2)');
  const taken = await takeBase(server, folder.at('base'));
  await server.query(`CREATE TABLESPACE later LOCATION '${later}'`);
  await server.query('CREATE TABLE c (n int) TABLESPACE later; INSERT INTO c VALUES (3); INSERT INTO a VALUES (4)');
  await server.query('CHECKPOINT');
  const lsn = await stamp(server, 1);
  const liveFiles = readdirSync(later ?? '', { recursive: true })
    .map(String)
    .sort();
  const target = folder.at('restored');
  const tablespaces = { [second ?? '']: folder.at('moved') };
  await restoreTo({ server, taken, target, lsn }, { ...SETTINGS, tablespaces });
  assert.deepEqual(
    readdirSync(later ?? '', { recursive: true })
      .map(String)
      .sort(),
    liveFiles,
  );
  assert.equal(await server.value('SELECT count(*) FROM c'), '1');
  assert.ok(readdirSync(folder.at('moved')).length === 1);
  await using restored = await startPostgres({ folder: target });
  const rows = await restored.query('SELECT n FROM a UNION SELECT n FROM b UNION SELECT n FROM c ORDER BY n');
  assert.deepEqual(
    rows.map(({ n }) => n),
    [1, 2, 3, 4],
  );
  for (const name of readdirSync(join(target, 'pg_tblspc'))) {
    assert.ok(lstatSync(join(target, 'pg_tblspc', name)).isSymbolicLink());
  }
  await restored.query(
    'SELECT pg_tablespace_location(oid) FROM pg_tablespace; INSERT INTO c VALUES (5); CHECKPOINT; DROP TABLE c; CHECKPOINT',
  );
  await restored.query('DROP TABLESPACE later');
});

test('unlogged tables come back empty', async () => {
  await using server = await stampedServer();
  await using folder = sharedFolder();
  await server.query('CREATE UNLOGGED TABLE u (n int); INSERT INTO u SELECT generate_series(1, 1000); CHECKPOINT');
  const taken = await takeBase(server, folder.at('base'));
  const lsn = await stamp(server, 1);
  await restoreTo({ server, taken, target: folder.at('restored'), lsn });
  await using restored = await startPostgres({ folder: folder.at('restored') });
  assert.equal(await restored.value('SELECT count(*) FROM u'), '0');
  await restored.query('INSERT INTO u VALUES (1)');
});

test('the right timeline is followed through a failover', { timeout: 240_000 }, async () => {
  await using primary = await stampedServer();
  await using folder = sharedFolder();
  await using standby = await startPostgres({ standbyOf: { primary }, settings: KEEP });
  const before = await takeBase(standby, folder.at('base-before'));
  const onFirst = await stamp(primary, 1);
  await stamp(primary, 2);
  await untilCaughtUp(standby, primary);
  await primary.stop('immediate');
  await standby.query('SELECT pg_promote()');
  const onSecond = await stamp(standby, 3);
  const after = await takeBase(standby, folder.at('base-after'));
  const later = await stamp(standby, 4);
  await stamp(standby, 5);
  await restoreTo({ server: standby, taken: before, target: folder.at('a'), lsn: onFirst });
  assert.deepEqual(await numbersIn(folder.at('a')), [1]);
  await restoreTo({ server: standby, taken: before, target: folder.at('b'), lsn: onSecond, timeline: 2 });
  assert.deepEqual(await numbersIn(folder.at('b')), [1, 2, 3]);
  assert.equal(after.timeline, 2);
  await restoreTo({ server: standby, taken: after, target: folder.at('c'), lsn: later, timeline: 2 });
  assert.deepEqual(await numbersIn(folder.at('c')), [1, 2, 3, 4]);
  assert.ok(readdirSync(folder.at('c', 'pg_wal')).includes('00000003.history'));
});

for (const hasHistory of [true, false]) {
  const what = hasHistory ? 'from a recorded base' : 'also where nothing says how it came to its timeline';
  test(`a server that was promoted before it was recorded is restored, ${what}`, { timeout: 120_000 }, async () => {
    await using server = await stampedServer();
    await using folder = sharedFolder();
    await server.stop();
    writeFileSync(join(server.folder, 'standby.signal'), '');
    await server.start();
    await server.query('SELECT pg_promote()');
    // Nothing of what the server was before lies in the same file of its log.
    for (const name of ['one', 'two', 'three']) {
      await server.query(`CREATE TABLE ${name} (n int); SELECT pg_switch_wal()`);
    }
    await server.query('CHECKPOINT');
    await using recorder = await openPostgresRecorder(
      placeOfUrl(server.url),
      { runtime, stateFolder: folder.at('state') },
      run,
    );
    await using base = await recorder.openBase(run);
    const { all, end } = await recordInMemory(base, run);
    const entries = all.filter(({ name }) => hasHistory || !Buffer.from(name).includes('.history'));
    assert.equal(entries.length, all.length - (hasHistory ? 0 : 1));
    const taken = {
      base: memoryReader(entries.toSorted((left, right) => compareBytes(left.name, right.name))),
      start: BigInt(end.logFrom.order),
      cut: BigInt(end.cut.order),
      timeline: 2,
    };
    const lsn = await stamp(server, 1);
    await stamp(server, 2);
    await restoreTo({ server, taken, target: folder.at('a'), lsn, timeline: 2 });
    assert.deepEqual(await numbersIn(folder.at('a')), [1]);
  });
}

test('a restored server can be left to be looked at before it is promoted', async () => {
  await using server = await stampedServer();
  await using folder = sharedFolder();
  const taken = await takeBase(server, folder.at('base'));
  const lsn = await stamp(server, 1);
  await stamp(server, 2);
  await restoreTo({ server, taken, target: folder.at('restored'), lsn }, { ...SETTINGS, endRecovery: 'pause' });
  await using restored = await startPostgres({ folder: folder.at('restored') });
  assert.equal(await restored.value('SELECT pg_is_in_recovery()'), 'true');
  assert.equal(await restored.value('SELECT max(n) FROM stamps'), '1');
  await assert.rejects(restored.query('INSERT INTO stamps VALUES (9)'), /read-only/);
  await restored.query('SELECT pg_promote()');
  await restored.query('INSERT INTO stamps VALUES (9)');
});

test('without programs of the server a plain start recovers', async () => {
  await using server = await stampedServer();
  await using folder = sharedFolder();
  const taken = await takeBase(server, folder.at('base'));
  const lsn = await stamp(server, 1);
  await stamp(server, 2);
  const binFolder = folder.at('nothing-here');
  await restoreTo({ server, taken, target: folder.at('restored'), lsn }, { ...SETTINGS, binFolder });
  assert.ok(existsSync(folder.at('restored', 'recovery.signal')));
  assert.deepEqual(await numbersIn(folder.at('restored')), [1]);
});

test('what an earlier recovery of the server left in its settings ends no later one', async () => {
  await using server = await stampedServer();
  await using folder = sharedFolder();
  await stamp(server, 1);
  await server.query("ALTER SYSTEM SET recovery_target_time = '2026-01-01'");
  await server.query("ALTER SYSTEM SET recovery_end_command = 'exit 200'");
  const taken = await takeBase(server, folder.at('base'));
  const lsn = await stamp(server, 2);
  const binFolder = folder.at('nothing-here');
  await restoreTo({ server, taken, target: folder.at('restored'), lsn }, { ...SETTINGS, binFolder });
  assert.deepEqual(await numbersIn(folder.at('restored')), [1, 2]);
});

test('where the log lay elsewhere by a link it is told that it does not any more', async () => {
  await using server = await stampedServer();
  await using folder = sharedFolder();
  const taken = await takeBase(server, folder.at('base'));
  mkdirSync(folder.at('restored'));
  symlinkSync('/mnt/fast/wal', folder.at('restored', 'pg_wal'));
  const binFolder = folder.at('nothing-here');
  await using restorer = new DataDirectoryRestorer(
    folder.at('restored'),
    { ...SETTINGS, binFolder, owner: '1:1' },
    { runtime, id: 'r1' },
    [],
  );
  const { notes } = await restorer.restoreBase(taken.base, run);
  assert.match(notes.at(-1) ?? '', /^pg_wal was a link to \/mnt\/fast\/wal/);
});

test('what is there is reused and kept aside, comes back by an undo, and is gone after a discard', async () => {
  await using server = await stampedServer();
  await using folder = sharedFolder();
  await server.query(
    "CREATE TABLE big AS SELECT repeat('x', 100) || n AS x FROM generate_series(1, 20000) n; CHECKPOINT",
  );
  await stamp(server, 1);
  const target = folder.at('restored');
  const taken = await takeBase(server, folder.at('base'));
  const lsn = await stamp(server, 2);
  await restoreTo({ server, taken, target, lsn });
  const context = { runtime, id: 'r2' };
  writeFileSync(join(target, 'mine.txt'), 'mine');
  {
    await using restorer = new DataDirectoryRestorer(target, SETTINGS, context, []);
    const report = await restorer.restoreBase(taken.base, run);
    assert.ok(report.reusedBytes > report.bytes / 2, `${report.reusedBytes} of ${report.bytes}`);
    // What is left by a call that was cut off is used by the next one.
    const again = await restorer.restoreBase(taken.base, run);
    assert.equal(again.reusedBytes, again.bytes);
    const log = logOf(server, { from: taken.start, to: lsn });
    await restorer.rollForward(log, positionOf({ timeline: 1, lsn }, LINEAGE), run);
    await restorer.verify(run);
    const { keptAside } = await restorer.swap(run);
    assert.equal(readFileSync(join(keptAside ?? '', 'mine.txt'), 'utf8'), 'mine');
    assert.deepEqual(await restorer.swap(run), { keptAside });
  }
  await undoDataDirectory(target, { ...context, turn: 1 }, run);
  await undoDataDirectory(target, { ...context, turn: 1 }, run);
  assert.ok(existsSync(join(target, 'mine.txt')));
  await undoDataDirectory(target, { ...context, turn: 2 }, run);
  assert.ok(!existsSync(join(target, 'mine.txt')));
  await discardDataDirectory(target, context, run);
  await discardDataDirectory(target, { ...context, id: 'r1' }, run);
  assert.deepEqual(readdirSync(folder.path).sort(), ['base', 'restored']);
  assert.deepEqual(await numbersIn(target), [1, 2]);
});

test('nothing is restored onto the data directory of a running server', async () => {
  await using server = await stampedServer();
  await using folder = sharedFolder();
  const taken = await takeBase(server, folder.at('base'));
  const { blockers } = previewDataDirectory(server.folder, SETTINGS, { id: 'r1' });
  assert.match(blockers.join(), /a server runs on .*: stop it first/);
  const lsn = await stamp(server, 1);
  const restoring = restoreTo({ server, taken, target: server.folder, lsn });
  await assert.rejects(restoring, (error) => isTidemarkError(error, 'RESTORE_CONFLICT'));
  assert.equal(await server.value('SELECT count(*) FROM stamps'), '1');
});

test('a log with a hole, or that ends too early, restores nothing', async () => {
  await using server = await stampedServer();
  await using folder = sharedFolder();
  const taken = await takeBase(server, folder.at('base'));
  const lsn = await stamp(server, 1);
  await stamp(server, 2);
  await using restorer = new DataDirectoryRestorer(folder.at('restored'), SETTINGS, { runtime, id: 'r1' }, []);
  await restorer.restoreBase(taken.base, run);
  const log = logOf(server, { from: taken.start, to: taken.cut + 8n });
  const rolling = restorer.rollForward(log, positionOf({ timeline: 1, lsn }, LINEAGE), run);
  await assert.rejects(rolling, (error) => isTidemarkError(error, 'REPOSITORY_DAMAGED'));
  await assert.rejects(restorer.swap(run), (error) => isTidemarkError(error, 'RESTORE_UNFINISHED'));
  await discardDataDirectory(folder.at('restored'), { runtime, id: 'r1' }, run);
  assert.deepEqual(readdirSync(folder.path), ['base']);
});

for (const endRecovery of ['promote', 'pause'] as const) {
  test(`a server that was given more after its base is restored, with ${endRecovery}`, {
    timeout: 120_000,
  }, async () => {
    await using server = await startPostgres({ settings: { wal_keep_size: '1GB' } });
    await using folder = sharedFolder();
    const taken = await takeBase(server, folder.at('base'));
    await server.query('ALTER SYSTEM SET max_connections = 150');
    await server.query('ALTER SYSTEM SET max_prepared_transactions = 3');
    await server.query('ALTER SYSTEM SET track_commit_timestamp = on');
    await server.restart();
    await server.query('CREATE TABLE kept AS SELECT 1 AS n');
    await server.query("BEGIN; CREATE TABLE made (n int); PREPARE TRANSACTION 'one'");
    const lsn = await insertPosition(server);
    await flush(server);
    await restoreTo({ server, taken, target: folder.at('a'), lsn }, { ...SETTINGS, endRecovery });
    const settings = { max_prepared_transactions: '3', max_connections: '150', track_commit_timestamp: 'on' };
    await using restored = await startPostgres({ folder: folder.at('a'), settings });
    if (endRecovery === 'pause') await promote(restored);
    assert.equal(await restored.value('SELECT gid FROM pg_prepared_xacts'), 'one');
    assert.equal(await restored.value('SELECT pg_xact_commit_timestamp(xmin) IS NULL FROM kept'), 'false');
  });
}

test('a restore that is to be looked at, for which a server would need more than it can guess, fails', {
  timeout: 120_000,
}, async () => {
  await using server = await startPostgres({ settings: { wal_keep_size: '1GB' } });
  await using folder = sharedFolder();
  const taken = await takeBase(server, folder.at('base'));
  await server.query('ALTER SYSTEM SET max_connections = 600');
  await server.restart();
  const restore = { server, taken, target: folder.at('a'), lsn: await insertPosition(server) };
  await assert.rejects(
    restoreTo(restore, { ...SETTINGS, endRecovery: 'pause' }),
    (error) => isTidemarkError(error, 'RESTORE_FAILED') && /max_connections = 500 is a lower/.test(error.message),
  );
  await restoreTo(restore);
});
