import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { listOf, markId, openShop } from '../../e2e/shop.ts';
import { needs } from '../../servers/needs.ts';
import { startRedis } from '../../servers/redis.ts';

const LIMIT_MS = 120_000;

suite('find in a store of Redis', { ...needs('redis-server', 'redis-cli'), timeout: LIMIT_MS }, () => {
  test('finds keys by pattern in every base, with the marks that stand on it', async () => {
    await using server = await startRedis();
    await server.script(['SET session:1 a', 'SET cart:1 b', 'SELECT 3', 'SET session:2 c']);
    const manifest = `application: shop\nrepository: ./backups\nstores:\n  cache: ${server.url}\n`;
    await using shop = await openShop({ manifest });
    const backup = (): string => markId(shop.ok(['backup']));
    const [first, second] = [backup(), (await server.script(['DEL session:1']), backup())];
    const found = (pattern: string): ReadonlySet<string> =>
      new Set(listOf(shop.ok(['find', pattern]), 'found').map(({ name, marks }) => `${String(name)} ${String(marks)}`));
    const wanted = [`0/session:1 ${first}`, `3/session:2 ${first}`, `3/session:2 ${second}`];
    assert.deepEqual(found('session:*'), new Set(wanted));
    assert.deepEqual(found('0:*:1'), new Set([`0/cart:1 ${first}`, `0/cart:1 ${second}`, `0/session:1 ${first}`]));
    assert.deepEqual(found('none:*'), new Set());
  });
});
