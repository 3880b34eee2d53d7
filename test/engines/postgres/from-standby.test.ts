import assert from 'node:assert/strict';
import { chmodSync, statSync } from 'node:fs';
import { test } from 'node:test';
import { openShop, until } from '../../e2e/shop.ts';
import type { Shop } from '../../e2e/shop.ts';
import { needs } from '../../servers/needs.ts';
import { promote, startPostgres, untilCaughtUp } from '../../servers/postgres.ts';
import type { PostgresServer } from '../../servers/postgres.ts';

const OPTIONS = { ...needs('postgres'), timeout: 180_000 };
const SETTINGS = { max_slot_wal_keep_size: '512MB' };

async function openWorld(standbys: readonly PostgresServer[]): Promise<Shop> {
  const servers = standbys.map(({ port }) => `127.0.0.1:${port}`).join(',');
  const url = `postgres://postgres@${servers}/postgres`;
  return await openShop({
    manifest: `application: shop\nrepository: ./backups\nmarks: { every: 1s }\nstores:\n  orders: { url: "${url}", from: standby }\n`,
  });
}

async function untilRecording(shop: Shop, which: string): Promise<void> {
  await until(which, () => shop.run(['status']).out.includes('"state":"recording"'));
}

/** Begins another file of the log, so that the last restart point lies in an earlier one. */
async function moveOn(primary: PostgresServer, value: number): Promise<void> {
  await primary.query('SELECT pg_switch_wal()');
  await primary.query(`UPDATE counter SET value = ${value}`);
}

/** What a mark restores to, in a server that is started on it. */
async function restored(shop: Shop, mark: string): Promise<string> {
  chmodSync(shop.folder.path, statSync(shop.folder.path).mode | 0o111);
  const { status, err } = await shop.start(['restore', '--to', mark, '--into', shop.at(mark), '--yes']).ended;
  assert.equal(status, 0, err);
  await using server = await startPostgres({ folder: shop.at(mark, 'orders') });
  return await server.value('SELECT value FROM counter');
}

test('what is recorded from a standby is restored, though its last restart point lies behind', OPTIONS, async () => {
  await using primary = await startPostgres({ settings: SETTINGS });
  await primary.query('CREATE TABLE counter AS SELECT 1 AS value');
  await using standby = await startPostgres({ standbyOf: { primary }, settings: SETTINGS });
  await moveOn(primary, 2);
  await moveOn(primary, 3);
  await untilCaughtUp(standby, primary);
  await using shop = await openWorld([standby]);
  shop.ok(['init']);
  const up = shop.start(['up']);
  await untilRecording(shop, 'it is recorded');
  shop.ok(['mark', 'before']);
  await moveOn(primary, 4);
  await untilCaughtUp(standby, primary);
  shop.ok(['mark', 'after']);
  up.child.kill('SIGINT');
  const { status, err } = await up.ended;
  assert.equal(status, 0, err);
  assert.deepEqual([await restored(shop, 'before'), await restored(shop, 'after')], ['3', '4']);
});

test(
  'where the standby is gone that was recorded, another one is, with a gap and a base of its own',
  OPTIONS,
  async () => {
    await using primary = await startPostgres({ settings: SETTINGS });
    await primary.query('CREATE TABLE counter AS SELECT 1 AS value');
    await using one = await startPostgres({ standbyOf: { primary }, settings: SETTINGS });
    await using two = await startPostgres({ standbyOf: { primary }, settings: SETTINGS });
    await using shop = await openWorld([primary, one, two]);
    shop.ok(['init']);
    const up = shop.start(['up']);
    await untilRecording(shop, 'the first is recorded');
    shop.ok(['mark', 'first']);
    await moveOn(primary, 2);
    await one.kill();
    await until('it is noticed', () => !shop.run(['status']).out.includes('"state":"recording"'));
    await untilRecording(shop, 'the second is recorded');
    await untilCaughtUp(two, primary);
    shop.ok(['mark', 'second']);
    up.child.kill('SIGINT');
    const { err } = await up.ended;
    assert.match(err, /a gap since .* the replication slot .* is gone/);
    assert.deepEqual([await restored(shop, 'first'), await restored(shop, 'second')], ['1', '2']);
  },
);

test('a standby that comes to follow another primary is recorded on', OPTIONS, async () => {
  await using primary = await startPostgres({ settings: SETTINGS });
  await primary.query('CREATE TABLE counter AS SELECT 1 AS value');
  await using one = await startPostgres({ standbyOf: { primary }, settings: SETTINGS });
  await using two = await startPostgres({ standbyOf: { primary }, settings: SETTINGS });
  await using shop = await openWorld([one]);
  shop.ok(['init']);
  const up = shop.start(['up']);
  await untilRecording(shop, 'it is recorded');
  await moveOn(primary, 2);
  await untilCaughtUp(one, primary);
  await untilCaughtUp(two, primary);
  shop.ok(['mark', 'before']);
  await primary.kill();
  await promote(two);
  const conninfo = `host=${two.socketFolder} port=${two.port} user=postgres dbname=postgres application_name=standby`;
  await one.query(`ALTER SYSTEM SET primary_conninfo = '${conninfo}'`);
  await one.query('SELECT pg_reload_conf()');
  await moveOn(two, 3);
  await untilCaughtUp(one, two);
  await untilRecording(shop, 'it goes on');
  shop.ok(['mark', 'after']);
  up.child.kill('SIGINT');
  const { err } = await up.ended;
  assert.doesNotMatch(err, /gap/);
  assert.deepEqual([await restored(shop, 'before'), await restored(shop, 'after')], ['2', '3']);
});

test('a backup of a standby alone holds the log that it needs', OPTIONS, async () => {
  await using primary = await startPostgres({ settings: SETTINGS });
  await primary.query('CREATE TABLE counter AS SELECT 1 AS value');
  await using standby = await startPostgres({ standbyOf: { primary }, settings: SETTINGS });
  await moveOn(primary, 2);
  await untilCaughtUp(standby, primary);
  await using shop = await openWorld([standby]);
  shop.ok(['init']);
  shop.ok(['backup', '--name', 'alone']);
  assert.equal(await restored(shop, 'alone'), '2');
});
