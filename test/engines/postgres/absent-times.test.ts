import assert from 'node:assert/strict';
import { chmodSync, rmSync, statSync } from 'node:fs';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { isoTime } from '../../../src/app/shown.ts';
import { listOf, objectOf, openShop, until } from '../../e2e/shop.ts';
import type { Shop, Started } from '../../e2e/shop.ts';
import { needs } from '../../servers/needs.ts';
import { startPostgres } from '../../servers/postgres.ts';
import { makeNumbers, numbersOf } from './number-writer.ts';

const APART_MS = 3_000;
/** By so much the time of a place may be behind that of its commit: what was committed together is found together. */
const COARSE_MS = 250;

async function startUp(shop: Shop): Promise<Started> {
  const up = shop.start(['up']);
  await until('it is recorded', () => shop.run(['status']).out.includes('"state":"recording"'));
  return up;
}

async function end(up: Started): Promise<void> {
  up.child.kill('SIGINT');
  const { status, err } = await up.ended;
  assert.equal(status, 0, err);
}

/** What is there at a time, and of when the place is said to be. */
async function restoredAt(shop: Shop, timeMs: number) {
  const into = shop.at(`copy-${timeMs}`);
  const restore = ['restore', 'orders', '--to', isoTime(timeMs), '--per-store', '--into', `orders=${into}`, '--yes'];
  const result = shop.ok(restore);
  const [store] = listOf(result, 'stores');
  const nearest = objectOf(store ?? {}, 'nearest');
  await using server = await startPostgres({ folder: into });
  const numbers = [...(await numbersOf(server))].toSorted((left, right) => left - right);
  rmSync(into, { recursive: true });
  return { numbers, atMs: Date.parse(String(nearest['at'])), isCovered: nearest['covered'] };
}

test('a time while up was away restores what was committed by then, although all of it came later', {
  ...needs('postgres'),
  timeout: 240_000,
}, async () => {
  await using server = await startPostgres({ settings: { max_slot_wal_keep_size: '512MB' } });
  await makeNumbers(server);
  await using shop = await openShop({
    manifest: `application: shop\nrepository: ./backups\nstores:\n  orders: ${server.url}\n`,
  });
  chmodSync(shop.folder.path, statSync(shop.folder.path).mode | 0o111);
  await end(await startUp(shop));
  const committedMs: number[] = [];
  for (const number of [1, 2, 3, 4]) {
    await sleep(APART_MS);
    const more = number === 3 ? "INSERT INTO more SELECT repeat('x', 500) FROM generate_series(1, 20000);" : '';
    await server.query(`CREATE TABLE IF NOT EXISTS more (t text); ${more} INSERT INTO numbers VALUES (${number})`);
    committedMs.push(Date.now());
  }
  await sleep(APART_MS);
  await end(await startUp(shop));
  const all = [1, 2, 3, 4];
  for (const [index, timeMs] of committedMs.entries()) {
    const { numbers, atMs, isCovered } = await restoredAt(shop, timeMs + APART_MS / 2);
    assert.deepEqual(numbers, all.slice(0, index + 1));
    assert.ok(
      timeMs - COARSE_MS <= atMs && atMs <= timeMs,
      `${isoTime(atMs)} is the time of the commit, ${isoTime(timeMs)}`,
    );
    assert.equal(isCovered, true);
  }
});
