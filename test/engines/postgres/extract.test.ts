import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { undoExtract } from '../../../src/connectors/postgres/extract/restorer.ts';
import { previewPostgres } from '../../../src/connectors/postgres/restorer.ts';
import { isTidemarkError } from '../../../src/core/errors.ts';
import { startPostgres } from '../../servers/postgres.ts';
import { extract, placeOf, shop } from './extract-fixture.ts';
import { flush, insertPosition, run, runtime, takeBase } from './fixture.ts';
import { sharedFolder } from './restore-fixture.ts';

test('a table or a database comes back into the live server as it was at the position', {
  timeout: 240_000,
}, async () => {
  await using server = await startPostgres({ settings: { wal_keep_size: '4GB' } });
  await server.query('CREATE DATABASE shop');
  await server.query(
    'CREATE TABLE orders (n int PRIMARY KEY); CREATE TABLE kept (n int); INSERT INTO orders VALUES (1)',
    'shop',
  );
  await using folder = sharedFolder();
  const taken = await takeBase(server, folder.at('base'));
  await server.query('INSERT INTO orders VALUES (2)', 'shop');
  const lsn = await insertPosition(server);
  await flush(server);
  await server.query('DROP TABLE orders; INSERT INTO kept VALUES (7)', 'shop');
  const first = { server, taken, lsn, only: 'public.orders', workFolder: folder.at('first') };
  await extract(first);
  const orders = async (): Promise<string> =>
    await server.value("SELECT string_agg(n::text, ',' ORDER BY n) FROM orders", 'shop');
  assert.equal(await orders(), '1,2');
  assert.equal(await server.value('SELECT n FROM kept', 'shop'), '7');
  const target = `postgres://postgres@127.0.0.1:${server.port}/shop`;
  const previewOf = async (
    only: string,
    replace: boolean,
  ): Promise<readonly (readonly string[] | boolean | undefined)[]> => {
    const context = { runtime, id: undefined, target, only: [only], replace };
    const { replaces, blockers } = await previewPostgres(placeOf(server, 'shop'), context, run);
    return [replaces, blockers.map((blocker) => blocker.replace(/^postgres:\S+ /, ''))];
  };
  const hint = 'name the store in --replace, or send it elsewhere with --into';
  // It is there now.
  assert.deepEqual(await previewOf('public.orders', false), [true, [`has public.orders already; ${hint}`]]);
  assert.deepEqual(await previewOf('public.orders', true), [true, []]);
  assert.deepEqual(await previewOf('public.gone', false), [false, []]);
  assert.deepEqual(await previewOf('shop/', false), [true, [`has shop already; ${hint}`]]);
  await server.query('INSERT INTO orders VALUES (3)', 'shop');
  const again = extract({ ...first, workFolder: folder.at('again') });
  await assert.rejects(again, (error) => isTidemarkError(error, 'RESTORE_CONFLICT'));
  await extract({ ...first, workFolder: folder.at('replaced'), replace: true });
  assert.equal(await orders(), '1,2');
  const wanted = { database: 'shop', tables: ['public.orders'] };
  const undoing = { runtime, id: 'r1', workFolder: folder.at('replaced') };
  await undoExtract(placeOf(server, 'shop'), wanted, { ...undoing, turn: 1 }, run);
  assert.equal(await orders(), '1,2,3');
  await undoExtract(placeOf(server, 'shop'), wanted, { ...undoing, turn: 2 }, run);
  assert.equal(await orders(), '1,2');
  await undoExtract(
    placeOf(server, 'shop'),
    wanted,
    { runtime, id: 'r1', workFolder: folder.at('first'), turn: 1 },
    run,
  );
  assert.equal(await server.value("SELECT to_regclass('orders') IS NULL", 'shop'), 'true');
  await server.query('DROP DATABASE shop');
  assert.deepEqual(await previewOf('shop/', false), [false, []]);
  await extract({ ...first, only: 'shop/', workFolder: folder.at('whole') });
  assert.equal(await orders(), '1,2');
  assert.equal(await server.value('SELECT count(*) FROM kept', 'shop'), '0');
  assert.deepEqual(readdirSync(folder.at('whole')).sort(), ['kept-0.sql', 'restored.sql', 'state.json']);
});

test('an undo touches nothing but what was taken out, whatever is in it', async () => {
  const { server, folder, undo, of } = await shop(
    "CREATE TABLE other (n int); CREATE TABLE lines AS SELECT 'CREATE TABLE public.other (n int);' AS t",
  );
  await using _server = server;
  await using _folder = folder;
  await server.query('DROP TABLE lines', 'shop');
  await extract({ ...of, only: 'public.lines', workFolder: folder.at('work') });
  await server.query('INSERT INTO other VALUES (1)', 'shop');
  await undo('work', 'public.lines');
  await undo('work', 'public.lines', 2);
  assert.equal(await server.value('SELECT count(*) FROM lines', 'shop'), '1');
  assert.equal(await server.value('SELECT count(*) FROM other', 'shop'), '1');
  for (const name of ['kept-0.sql', 'kept-1.sql']) {
    assert.equal(statSync(folder.at('work', name)).mode & 0o777, 0o600);
    assert.doesNotMatch(readFileSync(folder.at('work', name), 'utf8'), /^DROP TABLE .*other/m);
  }
});

test('tables that the server refuses leave nothing behind, and can be tried again', async () => {
  const { server, folder, undo, of } = await shop('CREATE TABLE parent (n int PRIMARY KEY)');
  await using _server = server;
  await using _folder = folder;
  await server.query('CREATE TABLE child (n int REFERENCES parent); INSERT INTO parent VALUES (5)', 'shop');
  const restore = { ...of, only: 'public.parent', workFolder: folder.at('work'), replace: true };
  await assert.rejects(extract(restore), (error) => isTidemarkError(error, 'FAILED'));
  await assert.rejects(undo('work', restore.only), (error) => isTidemarkError(error, 'NOTHING_TO_RESUME'));
  await server.query('DROP TABLE child', 'shop');
  await extract(restore);
  assert.equal(await server.value('SELECT count(*) FROM parent', 'shop'), '0');
  await undo('work', restore.only);
  assert.equal(await server.value('SELECT n FROM parent', 'shop'), '5');
});

test('a database that could be brought in only in part is taken out again', async () => {
  const { server, folder, undo, of } = await shop('CREATE TABLE orders (n int); ALTER TABLE orders OWNER TO seller');
  await using _server = server;
  await using _folder = folder;
  await server.query('DROP DATABASE shop');
  await server.query('DROP ROLE seller');
  const restore = { ...of, only: 'shop/', workFolder: folder.at('work') };
  await assert.rejects(extract(restore), (error) => isTidemarkError(error, 'FAILED'));
  const count = async (): Promise<string> =>
    await server.value("SELECT count(*) FROM pg_database WHERE datname = 'shop'");
  assert.equal(await count(), '1');
  await undo('work', restore.only);
  assert.equal(await count(), '0');
});

test('nothing is dropped for a dump that the server would not understand', async () => {
  const { server, folder, of } = await shop('CREATE TABLE orders (n int)');
  await using _server = server;
  await using _folder = folder;
  const binFolder = folder.at('bin');
  mkdirSync(binFolder, { mode: 0o755 });
  for (const name of ['postgres', 'pg_restore']) symlinkSync(join(server.binFolder, name), join(binFolder, name));
  const program = join(server.binFolder, 'pg_dump');
  const later = `#!/bin/sh\n${program} "$@" | sed 's/Dumped by pg_dump version 15/Dumped by pg_dump version 18/'\n`;
  writeFileSync(join(binFolder, 'pg_dump'), later, { mode: 0o755 });
  await server.query('INSERT INTO orders VALUES (1)', 'shop');
  for (const only of ['shop/', 'public.orders']) {
    const restore = { ...of, only, workFolder: folder.at('work'), replace: true, binFolder };
    await assert.rejects(extract(restore), (error) => isTidemarkError(error, 'UNSUPPORTED'));
    assert.equal(await server.value('SELECT n FROM orders', 'shop'), '1');
  }
});
