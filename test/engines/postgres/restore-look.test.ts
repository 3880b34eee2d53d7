import assert from 'node:assert/strict';
import { chownSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { parseLsn } from '../../../src/connectors/postgres/lsn.ts';
import { openPostgresRecorder } from '../../../src/connectors/postgres/recorder.ts';
import { compareBytes } from '../../../src/core/bytes.ts';
import { must } from '../../../src/core/must.ts';
import { memoryReader, recordInMemory } from '../../../src/testing/tree/memory-base.ts';
import { needsPostgres } from '../../servers/postgres-binaries.ts';
import type { PostgresVersion } from '../../servers/postgres-binaries.ts';
import { startPostgres } from '../../servers/postgres.ts';
import type { PostgresServer } from '../../servers/postgres.ts';
import { flush, insertPosition, run, runtime } from './fixture.ts';
import { placeOfUrl } from './recording.ts';
import { restoreTo, SETTINGS, sharedFolder } from './restore-fixture.ts';
import type { RestoreAt } from './restore-fixture.ts';

async function shopServer(version: PostgresVersion): Promise<PostgresServer> {
  const server = await startPostgres({ version, settings: { wal_keep_size: '1GB' } });
  await server.query('CREATE DATABASE shop');
  return server;
}

/** A base by ourselves: PostgreSQL's own program is not there for all versions. */
async function recorded(server: PostgresServer, target: string, extra: readonly string[] = []): Promise<RestoreAt> {
  await using recorder = await openPostgresRecorder(placeOfUrl(server.url), { runtime }, run);
  await using base = await recorder.openBase(run);
  const { all, end } = await recordInMemory(base, run);
  const lsn = await insertPosition(server);
  await flush(server);
  const more = extra.map((name) => ({ ...must(all[0], 'an entry'), name: Buffer.from(name) }));
  const reader = memoryReader([...all, ...more].toSorted((left, right) => compareBytes(left.name, right.name)));
  const taken = { base: reader, start: BigInt(end.logFrom.order), cut: BigInt(end.cut.order), timeline: 1 };
  return { server, taken, target, lsn };
}

for (const version of ['13', '14'] as const) {
  test(`a restored PostgreSQL ${version} can be left in its recovery`, needsPostgres(version), async () => {
    await using server = await shopServer(version);
    await using folder = sharedFolder();
    const restore = await recorded(server, folder.at('a'));
    await restoreTo(restore, { ...SETTINGS, endRecovery: 'pause', binFolder: server.binFolder });
    await using restored = await startPostgres({ folder: folder.at('a') });
    assert.equal(await restored.value('SELECT pg_is_in_recovery()'), 'true');
  });
}

test('a library that sessions load need not be on the host of the restore', async () => {
  await using server = await shopServer('15');
  await using folder = sharedFolder();
  await server.query("ALTER DATABASE shop SET session_preload_libraries = 'not_here'");
  await server.query("ALTER DATABASE template1 SET local_preload_libraries = 'not_here_either'");
  await restoreTo(await recorded(server, folder.at('a')));
});

test('a server of which no superuser is known is looked into all the same', async () => {
  await using server = await shopServer('15');
  await using folder = sharedFolder();
  await server.query('CREATE ROLE backup LOGIN REPLICATION');
  const restore = await recorded(server, folder.at('a'));
  const lsn = await server.value('ALTER ROLE postgres NOLOGIN; COMMIT; SELECT pg_current_wal_insert_lsn()');
  await restoreTo({ ...restore, lsn: must(parseLsn(lsn), 'a position'), users: ['backup'] });
});

test('what nobody may see but a superuser whose name is not known is looked into, too', async () => {
  await using server = await shopServer('15');
  await using folder = sharedFolder();
  await server.query('CREATE ROLE backup LOGIN REPLICATION; CREATE ROLE other LOGIN SUPERUSER');
  const restore = await recorded(server, folder.at('a'));
  await server.query('REVOKE CONNECT ON DATABASE shop FROM public');
  const asOther = ['-h', '127.0.0.1', '-p', String(server.port), '-U', 'other', '-d', 'postgres', '-Atq'];
  const rename = ['-c', 'ALTER ROLE postgres RENAME TO "Big Boss"', '-c', 'SELECT pg_current_wal_insert_lsn()'];
  const lsn = must(parseLsn((await server.runClient('psql', [...asOther, ...rename])).trim()), 'a position');
  await restoreTo({ ...restore, lsn, users: ['backup'] });
});

test('a database that was being dropped is in nobody’s way', async () => {
  await using server = await shopServer('15');
  await using folder = sharedFolder();
  await server.query("UPDATE pg_database SET datconnlimit = -2 WHERE datname = 'shop'");
  await restoreTo(await recorded(server, folder.at('a')));
});

test('files keep their names, whatever bytes these are, and what is told of the server beside it is no file of it', async () => {
  await using server = await shopServer('15');
  await using folder = sharedFolder();
  const names = ['caf\xe9.conf', Buffer.from('café.conf').toString('latin1')];
  for (const name of names) {
    const path = Buffer.concat([Buffer.from(`${server.folder}/`), Buffer.from(name, 'latin1')]);
    writeFileSync(path, 'x = 1\n');
    const { uid, gid } = statSync(server.folder);
    chownSync(path, uid, gid);
  }
  const restore = await recorded(server, folder.at('a'), ['tidemark/settings.json']);
  await restoreTo(restore);
  const found = readdirSync(folder.at('a'), { encoding: 'buffer' }).map((name) => name.toString('latin1'));
  assert.deepEqual(
    found.filter((name) => /caf|tidemark/.test(name)),
    names.toSorted(),
  );
});

test('looking into a restored server runs none of its triggers', needsPostgres('17'), async () => {
  await using server = await shopServer('17');
  await using folder = sharedFolder();
  const sql = [
    'CREATE TABLE logins (n int)',
    'CREATE FUNCTION note() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO public.logins VALUES (1); END $$',
    'CREATE EVENT TRIGGER noted ON login EXECUTE FUNCTION note()',
    'ALTER EVENT TRIGGER noted ENABLE ALWAYS',
  ];
  await server.query(sql.join('; '), 'shop');
  await restoreTo(await recorded(server, folder.at('a')), { ...SETTINGS, binFolder: server.binFolder });
  await using restored = await startPostgres({ folder: folder.at('a') });
  assert.equal(await restored.value('SELECT count(*) FROM logins', 'shop'), '1', 'the login that asks');
});
