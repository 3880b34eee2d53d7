import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import pg from 'pg';
import { must } from '../../../src/core/must.ts';
import { isTidemarkError } from '../../../src/core/errors.ts';
import type { PostgresPlace } from '../../../src/connectors/postgres/place.ts';
import { DumpServerRestorer, undoDump } from '../../../src/connectors/postgres/plain-sql/restorer.ts';
import { openSqlRecorder } from '../../../src/connectors/postgres/plain-sql/recorder.ts';
import { recordInMemory } from '../../../src/testing/tree/memory-base.ts';
import type { MemoryBase } from '../../../src/testing/tree/memory-base.ts';
import { temporaryFolder } from '../../../src/testing/tree/temporary-folder.ts';
import { startPostgres, untilCaughtUp } from '../../servers/postgres.ts';
import type { PostgresServer } from '../../servers/postgres.ts';
import { run, runtime } from './fixture.ts';
import { placeOfUrl } from './recording.ts';

const TIMEOUT = { timeout: 120_000 };

function placeOf({ port }: PostgresServer, user = 'postgres', database = 'postgres'): PostgresPlace {
  return placeOfUrl(`postgres://${user}@127.0.0.1:${port}/${database}`, {
    options: { strategy: 'sql', endRecovery: 'promote', tablespaces: {} },
  });
}

async function record(place: PostgresPlace): Promise<MemoryBase> {
  await using recorder = await openSqlRecorder(place, { runtime }, run);
  await using base = await recorder.openBase(run);
  return await recordInMemory(base, run);
}

async function databasesOf(server: PostgresServer): Promise<readonly unknown[]> {
  const rows = await server.query(
    "SELECT datname FROM pg_database WHERE datname NOT LIKE 'template%' ORDER BY datname",
  );
  return rows.map(({ datname }) => datname);
}

/** One that has a role with a grant in the database postgres, and the database app. */
async function filled(): Promise<PostgresServer> {
  const server = await startPostgres();
  await server.query('CREATE ROLE admin SUPERUSER LOGIN');
  await server.query("CREATE ROLE backup LOGIN REPLICATION PASSWORD 'old' CONNECTION LIMIT 7");
  await server.query('GRANT EXECUTE ON FUNCTION pg_create_restore_point TO backup');
  await server.query('CREATE DATABASE app');
  await server.query('CREATE TABLE t AS SELECT 1 AS n', 'app');
  return server;
}

for (const [what, user, database] of [
  ['the URL names a database that the dump brings', 'postgres', 'app'],
  ['the user is another superuser than the first one', 'admin', 'postgres'],
] as const) {
  test(`a server is replaced, and what it held comes back, where ${what}`, TIMEOUT, async () => {
    await using server = await filled();
    await using folder = temporaryFolder();
    const place = placeOf(server, user, database);
    const base = await record(place);
    await server.query('CREATE DATABASE later');
    await server.query('CREATE TABLE precious AS SELECT 1 AS n', 'later');
    await server.query("ALTER ROLE backup WITH PASSWORD 'new' VALID UNTIL '2099-01-01' CONNECTION LIMIT 3");
    await server.query('CREATE ROLE managers; GRANT managers TO backup; ALTER ROLE backup SET work_mem = 5000');
    const context = { runtime, id: 'r1', workFolder: folder.at('work'), replace: true };
    await using restorer = new DumpServerRestorer(place, context);
    await restorer.restoreBase(base, run);
    await restorer.verify(run);
    await restorer.swap(run);
    assert.deepEqual(await databasesOf(server), ['app', 'postgres']);
    assert.equal(await server.value('SELECT n FROM t', 'app'), '1');
    const roleOf = async () =>
      await server.query(
        `SELECT rolconnlimit, (SELECT setconfig FROM pg_db_role_setting WHERE setrole = a.oid) AS rolconfig, rolpassword IS NULL AS is_open,
           (SELECT count(*)::int FROM pg_auth_members WHERE member = a.oid) AS groups FROM pg_authid a WHERE rolname = 'backup'`,
      );
    assert.deepEqual(await roleOf(), [{ rolconnlimit: 7, rolconfig: null, is_open: false, groups: 0 }]);
    await undoDump(place, { ...context, turn: 1 }, run);
    assert.deepEqual(await databasesOf(server), ['app', 'later', 'postgres']);
    assert.equal(await server.value('SELECT n FROM precious', 'later'), '1');
    assert.deepEqual(await roleOf(), [{ rolconnlimit: 3, rolconfig: ['work_mem=5000'], is_open: false, groups: 1 }]);
  });
}

test('who is just leaving the server is waited for', TIMEOUT, async () => {
  await using server = await filled();
  await using folder = temporaryFolder();
  const base = await record(placeOf(server));
  await server.query('CREATE DATABASE later');
  await using restorer = new DumpServerRestorer(placeOf(server), {
    runtime,
    id: 'r1',
    workFolder: folder.at('work'),
    replace: true,
  });
  await restorer.restoreBase(base, run);
  const client = new pg.Client({ host: server.socketFolder, port: server.port, user: 'postgres', database: 'app' });
  await client.connect();
  const sessions = async (): Promise<number> =>
    (await server.query("SELECT 1 FROM pg_stat_activity WHERE backend_type = 'client backend'")).length;
  const before = await sessions();
  const verified = restorer.verify(run);
  while ((await sessions()) <= before) await runtime.clock.sleep(10, run);
  await client.end();
  await verified;
});

test('nothing is dropped while somebody is connected to the server', TIMEOUT, async () => {
  await using server = await filled();
  await using folder = temporaryFolder();
  const base = await record(placeOf(server));
  await server.query('CREATE DATABASE later');
  const context = { runtime, id: 'r1', workFolder: folder.at('work'), replace: true };
  await using restorer = new DumpServerRestorer(placeOf(server), context);
  await restorer.restoreBase(base, run);
  await restorer.verify(run);
  const client = new pg.Client({ host: server.socketFolder, port: server.port, user: 'postgres', database: 'app' });
  await client.connect();
  const inUse = (error: unknown): boolean =>
    isTidemarkError(error, 'RESTORE_CONFLICT') && error.message.includes('postgres in app');
  await assert.rejects(restorer.swap(run), inUse);
  await assert.rejects(restorer.verify(run), inUse);
  assert.deepEqual(await databasesOf(server), ['app', 'later', 'postgres']);
  await client.end();
  await restorer.swap(run);
  assert.deepEqual(await databasesOf(server), ['app', 'postgres']);
});

test('a load that fails half-way can be undone, and that be undone', TIMEOUT, async () => {
  await using server = await filled();
  await using folder = temporaryFolder();
  const base = await record(placeOf(server));
  await server.query('CREATE DATABASE later');
  const context = { runtime, id: 'r1', workFolder: folder.at('work'), replace: true };
  await using restorer = new DumpServerRestorer(placeOf(server), context);
  await restorer.restoreBase(base, run);
  await restorer.verify(run);
  const restored = folder.at('work', 'restored.sql');
  const whole = readFileSync(restored, 'utf8');
  // As if it had ended after the database postgres was dropped.
  const broken = whole.replace(/^CREATE DATABASE postgres .*$/m, 'SELECT 1/0;');
  assert.notEqual(broken, whole);
  writeFileSync(restored, broken);
  await assert.rejects(restorer.swap(run), (error) => isTidemarkError(error, 'FAILED'));
  await assert.rejects(server.query('SELECT 1'), /does not exist/);
  await undoDump(placeOf(server), { ...context, turn: 1 }, run);
  assert.deepEqual(await databasesOf(server), ['app', 'later', 'postgres']);
  writeFileSync(folder.at('work', 'kept-1.sql'), whole);
  await undoDump(placeOf(server), { ...context, turn: 2 }, run);
  assert.deepEqual(await databasesOf(server), ['app', 'postgres']);
});

test('what the server would not understand is refused before anything is dropped', TIMEOUT, async () => {
  await using server = await filled();
  await using folder = temporaryFolder();
  const base = await record(placeOf(server));
  const context = { runtime, id: 'r1', workFolder: folder.at('work'), replace: true };
  await using restorer = new DumpServerRestorer(placeOf(server), context);
  await restorer.restoreBase(base, run);
  const restored = folder.at('work', 'restored.sql');
  writeFileSync(
    restored,
    readFileSync(restored, 'utf8').replaceAll('Dumped by pg_dump version 15', 'Dumped by pg_dump version 18'),
  );
  await assert.rejects(restorer.verify(run), (error) => isTidemarkError(error, 'UNSUPPORTED'));
});

test('a relation in a database that every server has is seen, whichever one the URL names', TIMEOUT, async () => {
  await using server = await startPostgres();
  const base = await record(placeOf(server));
  for (const [holds, named] of [
    ['template1', 'postgres'],
    ['postgres', 'template1'],
  ] as const) {
    await using folder = temporaryFolder();
    await server.query('CREATE TABLE precious (n int)', holds);
    await using restorer = new DumpServerRestorer(placeOf(server, 'postgres', named), {
      runtime,
      id: 'r1',
      workFolder: folder.at('work'),
    });
    await restorer.restoreBase(base, run);
    await assert.rejects(restorer.verify(run), (error) => isTidemarkError(error, 'RESTORE_CONFLICT'));
    await server.query('DROP TABLE precious', holds);
  }
});

test('of several servers the primary is dumped, also when a standby stands first', TIMEOUT, async () => {
  await using primary = await startPostgres({ settings: { wal_keep_size: '1GB' } });
  await primary.query('CREATE TABLE early (n int)');
  await using standby = await startPostgres({ standbyOf: { primary } });
  await untilCaughtUp(standby, primary);
  await standby.query('SELECT pg_wal_replay_pause()');
  await primary.query('CREATE TABLE committed_later (n int)');
  const place = placeOf(primary);
  const base = await record({ ...place, addresses: [{ host: '127.0.0.1', port: standby.port }, ...place.addresses] });
  const entry = must(await base.find(Buffer.from('dump.sql'), run), 'the dump');
  const pieces = await Array.fromAsync(base.read(must(entry.content, 'its content'), run));
  assert.match(Buffer.concat(pieces).toString(), /committed_later/);
});
