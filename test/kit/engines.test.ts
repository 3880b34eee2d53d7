import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { markId, openShop, PASSPHRASE } from '../e2e/shop.ts';
import { digests, fill } from '../engines/redis/fill.ts';
import { createSeededRandom } from '../../src/flow/random.ts';
import { until } from '../oracle/world.ts';
import { needs } from '../servers/needs.ts';
import { serverOwner, startPostgres } from '../servers/postgres.ts';
import { startRedis } from '../servers/redis.ts';
import { runKit } from './run-kit.ts';

const NEEDED = { ...needs('redis-server', 'redis-cli', 'postgres', 'psql'), timeout: 300_000 };
const ROUNDS = 4;

type Moment = { readonly redis: Awaited<ReturnType<typeof digests>>; readonly postgres: string; readonly file: string };

function withoutExpiry(held: Moment['redis']): ReadonlyMap<string, string> {
  return new Map([...held].map(([name, { digest }]) => [name, digest]));
}

test(
  'what `up` has recorded of servers the kit restores to every mark, and the servers start on it',
  NEEDED,
  async () => {
    await using redis = await startRedis();
    await using postgres = await startPostgres({ settings: { max_slot_wal_keep_size: '1GB' } });
    await fill(redis, createSeededRandom('engines'));
    await postgres.query('CREATE TABLE stamps (n int PRIMARY KEY, filler text)');
    await using shop = await openShop({
      manifest: `application: shop
repository: ./backups
marks: { every: 1h }
stores:
  cache: ${redis.url}
  orders: ${postgres.url}
  uploads: files:./data
`,
    });
    writeFileSync(shop.at('data', 'file'), 'first');
    const up = shop.start(['up']);
    await until('all stores are recorded', () => {
      const { json } = shop.run(['status']);
      // As `status` answers.
      const stores = Array.isArray(json['stores']) ? (json['stores'] as readonly { readonly state?: string }[]) : [];
      return stores.length === 3 && stores.every(({ state }) => state === 'recording');
    });
    const moments = new Map<string, Moment>();
    for (let round = 1; round <= ROUNDS; round++) {
      await redis.script([`SET round ${round}`, 'INCR counter', 'SELECT 5', `RPUSH rounds ${round}`, 'XADD log * n 1']);
      await postgres.query(
        `INSERT INTO stamps SELECT n, repeat('x', 500) FROM generate_series(${round * 1000}, ${round * 1000 + 900}) n`,
      );
      writeFileSync(shop.at('data', 'file'), `round ${round}`);
      const id = markId(shop.ok(['mark']));
      const told = await postgres.value("SELECT count(*) || '/' || max(n) FROM stamps");
      moments.set(id, { redis: await digests(redis), postgres: told, file: `round ${round}` });
    }
    up.child.kill('SIGINT');
    const { status, err } = await up.ended;
    assert.ok(status === 0 || status === 130, err);
    const kit = (...args: readonly string[]) => runKit(args, { passphrase: PASSPHRASE });
    const owner = serverOwner();
    // The server of PostgreSQL has to come to its folder.
    if (owner) execFileSync('chmod', ['711', shop.folder.path]);
    for (const [id, moment] of moments) {
      const ended = kit('restore', shop.at('backups'), id, shop.at(id));
      assert.equal(ended.status, 0, ended.err);
      assert.equal(readFileSync(shop.at(id, 'uploads', 'file'), 'utf8'), moment.file);
      {
        await using restored = await startRedis({ args: ['--include', shop.at(id, 'cache', 'redis.conf')] });
        assert.deepEqual(withoutExpiry(await digests(restored)), withoutExpiry(moment.redis), id);
      }
      if (owner) execFileSync('chown', ['-R', `${owner.uid}:${owner.gid}`, shop.at(id, 'orders')]);
      await using restored = await startPostgres({ folder: shop.at(id, 'orders') });
      assert.equal(await restored.value("SELECT count(*) || '/' || max(n) FROM stamps"), moment.postgres, id);
    }
    const verified = kit('verify', shop.at('backups'));
    assert.deepEqual([verified.status, verified.err], [0, '']);
    assert.equal(kit('list', shop.at('backups')).err, '');
  },
);

test('what one `backup` alone has read of servers the kit restores', NEEDED, async () => {
  await using redis = await startRedis();
  await using postgres = await startPostgres({ settings: { max_slot_wal_keep_size: '1GB' } });
  await redis.script(['SET counter 7', 'SELECT 5', 'SET other x']);
  await postgres.query('CREATE TABLE stamps (n int PRIMARY KEY); INSERT INTO stamps SELECT generate_series(1, 1000)');
  await using shop = await openShop({
    manifest: `application: shop\nrepository: ./backups\nstores:\n  cache: ${redis.url}\n  orders: ${postgres.url}\n`,
  });
  shop.ok(['backup']);
  const told = await digests(redis);
  await redis.call('FLUSHALL');
  await postgres.query('DROP TABLE stamps');
  const kit = (...args: readonly string[]) => runKit(args, { passphrase: PASSPHRASE });
  const ended = kit('restore', shop.at('backups'), 'latest', shop.at('out'));
  assert.equal(ended.status, 0, ended.err);
  await using restored = await startRedis({ args: ['--include', shop.at('out', 'cache', 'redis.conf')] });
  assert.deepEqual(withoutExpiry(await digests(restored)), withoutExpiry(told));
  const owner = serverOwner();
  if (owner) execFileSync('chmod', ['711', shop.folder.path]);
  if (owner) execFileSync('chown', ['-R', `${owner.uid}:${owner.gid}`, shop.at('out', 'orders')]);
  await using recovered = await startPostgres({ folder: shop.at('out', 'orders') });
  assert.equal(await recovered.value('SELECT count(*) FROM stamps'), '1000');
  assert.equal(kit('verify', shop.at('backups')).status, 0);
});

test('a base of plain SQL comes back as the file that psql takes', NEEDED, async () => {
  await using postgres = await startPostgres();
  await postgres.query('CREATE TABLE stamps (n int PRIMARY KEY); INSERT INTO stamps SELECT generate_series(1, 1000)');
  await using shop = await openShop({
    manifest: `application: shop\nrepository: ./backups\nstores:\n  orders: { url: '${postgres.url}', strategy: sql }\n`,
  });
  shop.ok(['backup']);
  const kit = (...args: readonly string[]) => runKit(args, { passphrase: PASSPHRASE });
  const listed = kit('ls', shop.at('backups'), 'latest', 'orders');
  assert.equal(listed.err, '');
  assert.match(listed.out, /^ +\d+ dump\.sql {2}file /);
  const ended = kit('restore', shop.at('backups'), 'latest', shop.at('out'));
  assert.equal(ended.status, 0, ended.err);
  await using fresh = await startPostgres();
  await fresh.runClient('psql', ['-q', '-d', 'postgres', '-f', shop.at('out', 'orders', 'dump.sql')]);
  assert.equal(await fresh.value('SELECT count(*) FROM stamps'), '1000');
  assert.equal(kit('verify', shop.at('backups')).status, 0);
});
