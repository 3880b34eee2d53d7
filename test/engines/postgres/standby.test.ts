import assert from 'node:assert/strict';
import { chownSync, lstatSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { openShop, PASSPHRASE, until } from '../../e2e/shop.ts';
import type { Shop } from '../../e2e/shop.ts';
import { needs } from '../../servers/needs.ts';
import { serverOwner, startPostgres } from '../../servers/postgres.ts';
import type { PostgresServer } from '../../servers/postgres.ts';

const LONGEST_MS = 120_000;
const SETTINGS = { max_slot_wal_keep_size: '512MB' };

/** Everything is the server's user's: it reads the repository by itself. */
function giveTo(shop: Shop): readonly string[] | undefined {
  const owner = serverOwner();
  if (owner === undefined) return undefined;
  for (const name of ['', ...readdirSync(shop.folder.path, { recursive: true, encoding: 'utf8' })]) {
    chownSync(shop.at(name), owner.uid, owner.gid);
  }
  return ['setpriv', `--reuid=${owner.uid}`, `--regid=${owner.gid}`, '--clear-groups'];
}

async function untilItHas(standby: PostgresServer, value: string): Promise<void> {
  const endMs = Date.now() + LONGEST_MS;
  while ((await standby.value('SELECT value FROM counter')) !== value) {
    assert.ok(Date.now() < endMs, `the standby never has ${value}`);
    await sleep(200);
  }
}

test(
  'a standby that is restored from the repository follows what is recorded, and waits where nothing is',
  needs('postgres'),
  async () => {
    await using primary = await startPostgres({ settings: SETTINGS });
    await primary.query('CREATE TABLE counter AS SELECT 1 AS value');
    await using shop = await openShop({
      manifest: `application: shop\nrepository: { url: ./backups, passphraseFile: ./passphrase }\nmarks: { every: 1s }\nstores:\n  orders: ${primary.url}\n`,
    });
    writeFileSync(shop.at('passphrase'), PASSPHRASE, { mode: 0o600 });
    const by = giveTo(shop);
    const up = shop.start(['up'], { by });
    await until('it is recorded', () => shop.run(['status'], { by }).out.includes('"state":"recording"'));
    assert.equal(shop.run(['mark', 'first'], { by }).status, 0);
    const restored = shop.run(['restore', '--to', 'first', '--into', './copy', '--standby', '--yes'], { by });
    assert.equal(restored.status, 0, restored.err);
    // The server calls for its log with the environment that it was started in.
    process.env['XDG_STATE_HOME'] = shop.at('state');
    await using standby = await startPostgres({ folder: shop.at('copy', 'orders') });
    assert.equal(await standby.value('SELECT pg_is_in_recovery()'), 'true');
    mkdirSync(shop.at('fast'));
    giveTo(shop);
    await primary.query(`CREATE TABLESPACE fast LOCATION '${shop.at('fast')}'`);
    await primary.query('CREATE TABLE there TABLESPACE fast AS SELECT 7 AS n');
    await primary.query('UPDATE counter SET value = 2');
    await untilItHas(standby, '2');
    assert.equal(await standby.value('SELECT n FROM there'), '7');
    const [oid = ''] = readdirSync(shop.at('copy', 'orders', 'pg_tblspc'));
    const place = lstatSync(shop.at('copy', 'orders', 'pg_tblspc', oid));
    assert.ok(place.isDirectory(), 'the standby writes into no folder of the primary');
    up.child.kill('SIGINT');
    const { status, err } = await up.ended;
    assert.equal(status, 0, err);
    assert.equal(await standby.value('SELECT pg_is_in_recovery()'), 'true', 'while up is away it waits');
    shop.start(['up'], { by });
    await primary.query('UPDATE counter SET value = 3');
    await untilItHas(standby, '3');
    const refused = shop.run(
      ['plan', '--to', 'first', '--into', './other', '--standby', '--repository', shop.at('backups')],
      { by },
    );
    assert.deepEqual([refused.status, refused.json['code']], [2, 'USAGE']);
  },
);
