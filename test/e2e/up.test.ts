import assert from 'node:assert/strict';
import { mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { listOf, objectOf, openShop, until } from './shop.ts';

const MANIFEST = `application: shop
repository: ./backups
marks: { every: 1s }
stores:
  uploads: files:./data
  catalog: embedded:./catalog.db
`;

test('while the repository is away status tells how it runs, and each trouble is told once', async () => {
  await using shop = await openShop({ manifest: MANIFEST });
  writeFileSync(shop.at('data', 'note'), 'first');
  const up = shop.start(['up']);
  await until('uploads are recorded', () => {
    const stores = listOf(shop.run(['status']).json, 'stores');
    return stores.some(({ store, state, trouble }) => store === 'uploads' && state === 'recording' && !trouble);
  });
  renameSync(shop.at('backups'), shop.at('away'));
  writeFileSync(shop.at('data', 'note'), 'second');
  await until('the repository is missed', () => {
    const { status, json } = shop.run(['status', '--check']);
    return status === 9 && objectOf(json, 'repository')['reachable'] === false;
  });
  const { json } = shop.run(['status']);
  assert.equal(objectOf(json, 'up')['processId'], up.child.pid);
  assert.deepEqual(
    listOf(json, 'stores').map(({ store }) => store),
    ['uploads', 'catalog'],
  );
  assert.match(JSON.stringify(json), /disk or share is (?:still )?mounted/);
  const codes = listOf(json, 'alarms').map(({ code, store }) => [code, store]);
  assert.ok(codes.some(([code, store]) => String(code).startsWith('REPOSITORY_') && store === undefined));
  assert.ok(codes.some(([code, store]) => code === 'STORE_UNREACHABLE' && store === 'catalog'));
  renameSync(shop.at('away'), shop.at('backups'));
  await until('it goes on', () => {
    const { status, json: now } = shop.run(['status']);
    return status === 0 && objectOf(now, 'repository')['reachable'] === true;
  });
  up.child.kill('SIGINT');
  const { err } = await up.ended;
  const told = err.split('\n').filter((line) => line.includes('catalog.db is not there'));
  assert.equal(told.length, 1, err);
});

test('an up that does not answer is told, and what it is asked for again later is answered', async () => {
  await using shop = await openShop({ manifest: MANIFEST });
  const up = shop.start(['up']);
  await until('it answers', () => shop.run(['status']).json['up'] !== undefined);
  up.child.kill('SIGSTOP');
  const { status, err } = shop.run(['status']);
  assert.equal(status, 1);
  assert.match(err, /`tidemark up` runs, but did not answer within 10 s/);
  up.child.kill('SIGCONT');
  assert.equal(shop.run(['status']).status, 0);
  up.child.kill('SIGINT');
  await up.ended;
});

test('a backup asked of up leaves out a store that fails, fails when all do, and knows the stores it is told of', async () => {
  await using shop = await openShop({ manifest: MANIFEST });
  writeFileSync(shop.at('data', 'note'), 'first');
  const up = shop.start(['up']);
  await until('uploads are recorded', () => {
    const stores = listOf(shop.run(['status']).json, 'stores');
    return stores.some(({ store, state }) => store === 'uploads' && state === 'recording');
  });
  const { json } = shop.run(['backup']);
  assert.deepEqual(
    listOf(json, 'stores').map(({ store }) => store),
    ['uploads'],
  );
  assert.deepEqual(
    listOf(json, 'failed').map(({ store, code }) => [store, code]),
    [['catalog', 'STORE_UNREACHABLE']],
  );
  const alone = shop.run(['backup', 'catalog']);
  assert.match(alone.err, /catalog/);
  assert.equal(alone.json['code'], 'STORE_UNREACHABLE');
  assert.equal(shop.run(['backup', '--allow-empty', 'nowhere']).status, 2);
  up.child.kill('SIGINT');
  await up.ended;
});

test('a store that is empty when up begins is recorded once that is allowed, and the mark of that backup has it', async () => {
  await using shop = await openShop({ manifest: MANIFEST.replace(/  catalog.*\n/, '') });
  rmSync(shop.at('data'), { recursive: true });
  mkdirSync(shop.at('data'));
  const up = shop.start(['up']);
  await until('the base is refused', () =>
    listOf(shop.run(['status']).json, 'alarms').some(({ code }) => code === 'BASE_COLLAPSED'),
  );
  const refused = shop.run(['backup', 'uploads']);
  assert.equal(refused.status, 7);
  assert.match(refused.err, /tidemark backup uploads --allow-empty uploads/);
  const { status, json } = shop.run(['backup', 'uploads', '--allow-empty', 'uploads']);
  assert.deepEqual([status, objectOf(json, 'mark')['state']], [0, 'complete']);
  up.child.kill('SIGINT');
  assert.equal((await up.ended).status, 0);
});
