import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { parseServerUrl } from '../../../src/connectors/postgres/place.ts';
import type { PostgresPlace } from '../../../src/connectors/postgres/place.ts';
import {
  DumpFolderRestorer,
  DumpServerRestorer,
  undoDump,
} from '../../../src/connectors/postgres/plain-sql/restorer.ts';
import { openSqlRecorder } from '../../../src/connectors/postgres/plain-sql/recorder.ts';
import { isTidemarkError } from '../../../src/core/errors.ts';
import { recordInMemory } from '../../../src/testing/tree/memory-base.ts';
import type { MemoryBase } from '../../../src/testing/tree/memory-base.ts';
import { temporaryFolder } from '../../../src/testing/tree/temporary-folder.ts';
import { openShop } from '../../e2e/shop.ts';
import { startPostgres } from '../../servers/postgres.ts';
import type { PostgresServer } from '../../servers/postgres.ts';
import { run, runtime } from './fixture.ts';

function placeOf({ url }: PostgresServer, password?: string): PostgresPlace {
  const options = { from: 'primary', strategy: 'sql', endRecovery: 'promote', tablespaces: {} } as const;
  const parsed = parseServerUrl(url.replace('postgres:', ''));
  return {
    ...parsed,
    password: async () => password,
    via: [],
    options: options as unknown as PostgresPlace['options'],
  };
}

async function record(server: PostgresServer, password?: string): Promise<MemoryBase> {
  await using recorder = await openSqlRecorder(placeOf(server, password), { runtime }, run);
  await using base = await recorder.openBase(run);
  return await recordInMemory(base, run);
}

async function filled(): Promise<PostgresServer> {
  const server = await startPostgres();
  await server.query('CREATE ROLE "odd ""role"');
  await server.query('CREATE DATABASE "my shop" OWNER "odd ""role"');
  await server.query(
    "CREATE TABLE orders AS SELECT n, repeat('x', 50) AS filler FROM generate_series(1, 5000) n",
    'my shop',
  );
  await server.query('CREATE TABLE mine (n int); INSERT INTO mine VALUES (1)');
  return server;
}

test('a dump is kept as a file, and brings an empty server to what the other one was', {
  timeout: 120_000,
}, async () => {
  await using server = await filled();
  await using folder = temporaryFolder();
  const base = await record(server);
  {
    await using restorer = new DumpFolderRestorer(folder.at('dump'), { runtime, id: 'r1' });
    await restorer.restoreBase(base, run);
    await restorer.verify(run);
    assert.deepEqual(await restorer.swap(run), {});
  }
  assert.match(readFileSync(folder.at('dump', 'dump.sql'), 'utf8'), /dump complete/);
  await using fresh = await startPostgres();
  const context = { runtime, id: 'r1', workFolder: folder.at('work') };
  await using restorer = new DumpServerRestorer(placeOf(fresh), context);
  await restorer.restoreBase(base, run);
  await restorer.verify(run);
  const { keptAside } = await restorer.swap(run);
  assert.deepEqual(await restorer.swap(run), { keptAside });
  assert.equal(await fresh.value('SELECT count(*) FROM orders', 'my shop'), '5000');
  assert.equal(await fresh.value('SELECT n FROM mine'), '1');
  await undoDump(placeOf(fresh), { ...context, turn: 1 }, run);
  assert.equal(await fresh.value("SELECT count(*) FROM pg_database WHERE datname = 'my shop'"), '0');
  await undoDump(placeOf(fresh), { ...context, turn: 2 }, run);
  assert.equal(await fresh.value('SELECT count(*) FROM orders', 'my shop'), '5000');
});

test('a server that holds something is only replaced when that is allowed, and what it held comes back', async () => {
  await using server = await filled();
  await using folder = temporaryFolder();
  const base = await record(server);
  await using other = await startPostgres();
  await other.query('CREATE DATABASE precious');
  const context = { runtime, id: 'r1', workFolder: folder.at('work') };
  {
    await using restorer = new DumpServerRestorer(placeOf(other), context);
    await restorer.restoreBase(base, run);
    await assert.rejects(restorer.verify(run), (error) => isTidemarkError(error, 'RESTORE_CONFLICT'));
  }
  await using restorer = new DumpServerRestorer(placeOf(other), { ...context, replace: true });
  await restorer.restoreBase(base, run);
  await restorer.verify(run);
  await restorer.swap(run);
  assert.equal(await other.value("SELECT count(*) FROM pg_database WHERE datname = 'precious'"), '0');
  await undoDump(placeOf(other), { ...context, turn: 1 }, run);
  assert.equal(await other.value("SELECT count(*) FROM pg_database WHERE datname = 'precious'"), '1');
});

test('a password goes to the program, and a dump that fails is no base', async () => {
  await using server = await startPostgres({ hba: 'host all all 127.0.0.1/32 scram-sha-256' });
  await server.query("ALTER ROLE postgres PASSWORD 'secret'; CREATE TABLE t (n int)");
  const base = await record(server, 'secret');
  assert.equal(base.all.length, 1);
  await server.query("CREATE ROLE weak LOGIN PASSWORD 'weak'");
  const weak = { ...placeOf(server, 'weak'), user: 'weak' };
  await using recorder = await openSqlRecorder(weak, { runtime }, run);
  await using weakBase = await recorder.openBase(run);
  await assert.rejects(recordInMemory(weakBase, run), (error) => isTidemarkError(error, 'FAILED'));
});

test('a prefix has the variables of who runs the command, but for the passphrase', async () => {
  await using server = await startPostgres();
  const db = `db: { url: '${server.url}', strategy: sql, via: [to-the-pod] }`;
  await using shop = await openShop({ manifest: `application: shop\nrepository: ./backups\nstores:\n  ${db}\n` });
  mkdirSync(shop.at('bin'));
  const program = `#!/bin/sh\necho "$HOME $KUBECONFIG $TIDEMARK_PASSPHRASE" > "$HOME/told"\nexec "$@"\n`;
  writeFileSync(shop.at('bin', 'to-the-pod'), program, { mode: 0o755 });
  const env = { HOME: shop.folder.path, KUBECONFIG: 'pods', PATH: `${shop.at('bin')}:/usr/bin:/bin` };
  shop.ok(['backup'], { env });
  assert.equal(readFileSync(shop.at('told'), 'utf8'), `${shop.folder.path} pods \n`);
});

test('the program may run elsewhere, which a prefix brings it to', async () => {
  await using server = await startPostgres({ hba: 'host all all 127.0.0.1/32 scram-sha-256' });
  await server.query("ALTER ROLE postgres PASSWORD 'secret'; CREATE TABLE t (n int)");
  const place = { ...placeOf(server, 'secret'), via: ['env', 'PATH=/usr/bin:/bin'] };
  await using recorder = await openSqlRecorder(place, { runtime }, run);
  await using base = await recorder.openBase(run);
  const { all } = await recordInMemory(base, run);
  assert.ok((all[0]?.content?.sizeBytes ?? 0) > 1000);
});
