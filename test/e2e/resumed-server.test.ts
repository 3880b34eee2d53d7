import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { needs } from '../servers/needs.ts';
import { startRedis } from '../servers/redis.ts';
import type { RedisServer } from '../servers/redis.ts';
import { clientOf } from '../engines/redis/fill.ts';
import { openShop } from './shop.ts';
import type { Shop } from './shop.ts';

const options = { ...needs('redis-server', 'redis-cli'), timeout: 120_000 };
const KEYS = 100_000;
const run = { signal: new AbortController().signal };

async function openCache(server: RedisServer): Promise<Shop> {
  const shop = await openShop();
  const stores = `stores:\n  cache:\n    url: redis://127.0.0.1:${server.port}\n`;
  writeFileSync(shop.at('tidemark.yaml'), `application: shop\nrepository: ./backups\n${stores}`);
  await server.pipe(Array.from({ length: KEYS }, (_, index) => ['SET', `k:${index}`, String(index)]));
  shop.ok(['backup']);
  return shop;
}

/** A restore that is killed in the middle of the server, which then is started anew with nothing, and gets something else. */
async function cutOff(shop: Shop, target: RedisServer, more: readonly string[]): Promise<void> {
  const into = `cache=redis://127.0.0.1:${target.port}`;
  const { child, ended } = shop.start(['restore', '--to', 'latest', '--into', into, '--yes', ...more]);
  await using client = await clientOf(target);
  // By a connection, which is faster than the restore.
  while (Number(await client.call(['DBSIZE'], run)) < 100) assert.equal(child.exitCode, null);
  child.kill('SIGKILL');
  await ended;
  await target.restart();
  await target.call('set', 'other', '1');
}

test(
  'what was allowed when a restore into a server began is not asked for again when it is resumed',
  options,
  async () => {
    await using source = await startRedis();
    await using target = await startRedis();
    await using shop = await openCache(source);
    await target.call('set', 'mine', '1');
    await cutOff(shop, target, ['--replace', 'cache']);
    shop.ok(['restore', '--resume']);
    assert.equal(await target.call('dbsize'), String(KEYS));
    shop.ok(['restore', '--undo']);
    assert.equal(await target.call('keys', '*'), 'other');
  },
);

test(
  'where a server that was being restored into holds something else, a resumed restore may be allowed to replace it',
  options,
  async () => {
    await using source = await startRedis();
    await using target = await startRedis();
    await using shop = await openCache(source);
    await cutOff(shop, target, []);
    const refused = shop.run(['restore', '--resume']);
    assert.equal(refused.json['code'], 'RESTORE_CONFLICT', refused.err);
    assert.match(String(refused.json['hint']), /`tidemark restore --resume --replace STORE`/);
    assert.equal(await target.call('keys', '*'), 'other');
    assert.equal(shop.run(['restore', '--resume', '--replace', 'another']).json['code'], 'USAGE');
    assert.equal(shop.run(['restore', '--undo', '--replace', 'cache']).json['code'], 'USAGE');
    shop.ok(['restore', '--resume', '--replace', 'cache']);
    assert.equal(await target.call('dbsize'), String(KEYS));
    shop.ok(['restore', '--undo']);
    assert.equal(await target.call('keys', '*'), 'other');
  },
);
