import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { holdStores } from '../../src/app/hold-stores.ts';
import { needConfiguration } from '../../src/app/application.ts';
import { openEmbedded } from '../../src/connectors/embedded/connector.ts';
import { isTidemarkError } from '../../src/core/errors.ts';
import type { Run } from '../../src/core/run.ts';
import { openShop } from '../e2e/shop.ts';
import type { Shop } from '../e2e/shop.ts';
import { openShopApplication, run } from './opened.ts';

/** A hook that says its name in the file `told`, and ends well or not. */
function hook(shop: Shop, name: string, ending = 'true'): string {
  return `[sh, -c, 'echo ${name} >> ${shop.at('told')}; ${ending}']`;
}

type Seal = { readonly pause?: string; readonly resume?: string; readonly within?: string };

/** Two folders with hooks, `a` and `b`, and an embedded store between them. */
async function openHeld(seals: { readonly a?: Seal; readonly b?: Seal }) {
  const shop = await openShop();
  const folder = (name: 'a' | 'b'): string => {
    const { pause = 'true', resume = 'true', within = '10s' } = seals[name] ?? {};
    const hooks = `pause: ${hook(shop, `pause-${name}`, pause)}, resume: ${hook(shop, `resume-${name}`, resume)}`;
    return `  ${name}:\n    url: files:./${name}\n    seal: { within: ${within}, ${hooks} }\n`;
  };
  const notes = '  notes: embedded:./notes.db\n';
  writeFileSync(
    shop.at('tidemark.yaml'),
    `application: shop\nrepository: ./backups\nstores:\n${folder('a')}${notes}${folder('b')}`,
  );
  writeFileSync(shop.at('told'), '');
  openEmbedded(shop.at('notes.db'))[Symbol.dispose]();
  const application = await openShopApplication(shop);
  const { stores } = needConfiguration(application.context);
  return {
    shop,
    hold: (inner: Run = run) => holdStores(application, stores, inner),
    told: () => readFileSync(shop.at('told'), 'utf8').split('\n').slice(0, -1),
    isLocked() {
      using store = openEmbedded(shop.at('notes.db'), { busyTimeoutMs: 1 });
      try {
        store.put('k', 'again');
        return false;
      } catch (error) {
        if (!isTidemarkError(error, 'BUSY')) throw error;
        return true;
      }
    },
    [Symbol.asyncDispose]: async () => {
      await application[Symbol.asyncDispose]();
      await shop[Symbol.asyncDispose]();
    },
  };
}

const ALL_CALLED = ['pause-a', 'pause-b', 'resume-b', 'resume-a'];

test('stores are held by their hooks and then by their locks, and let go the other way round', async () => {
  await using world = await openHeld({});
  {
    await using held = await world.hold();
    assert.deepEqual([world.told(), world.isLocked(), held.isExpired], [['pause-a', 'pause-b'], true, false]);
  }
  assert.deepEqual([world.told(), world.isLocked()], [ALL_CALLED, false]);
});

test('a pause that fails is told; it is undone like those before it, and nothing stays locked', async () => {
  await using world = await openHeld({ b: { pause: 'exit 3' } });
  await assert.rejects(world.hold(), { code: 'FAILED' });
  assert.deepEqual([world.told(), world.isLocked()], [ALL_CALLED, false]);
});

test('a pause that takes too long is cut off and undone', async () => {
  await using world = await openHeld({ b: { pause: 'exec sleep 60', within: '1s' } });
  await assert.rejects(world.hold(), { code: 'FAILED' });
  assert.deepEqual([world.told(), world.isLocked()], [ALL_CALLED, false]);
});

test('the first store is held no longer than it may while others are awaited', async () => {
  await using world = await openHeld({ a: { within: '1s' }, b: { pause: 'exec sleep 60', within: '5m' } });
  await assert.rejects(world.hold(), { code: 'FAILED', message: /1 s/ });
  assert.deepEqual([world.told(), world.isLocked()], [ALL_CALLED, false]);
});

test('a store that another keeps locked is awaited no longer than the others may be held', async () => {
  await using world = await openHeld({ a: { within: '1s' } });
  using other = new DatabaseSync(world.shop.at('notes.db'));
  other.exec('BEGIN IMMEDIATE');
  await assert.rejects(world.hold(), { code: 'FAILED', message: /1 s/ });
  other.exec('ROLLBACK');
  assert.deepEqual([world.told(), world.isLocked()], [ALL_CALLED, false]);
});

test('a resume that fails is told, and keeps no other store from being let go', async () => {
  await using world = await openHeld({ b: { resume: 'exit 3' } });
  const held = await world.hold();
  await assert.rejects(async () => await held[Symbol.asyncDispose](), { code: 'FAILED' });
  assert.deepEqual([world.told(), world.isLocked()], [ALL_CALLED, false]);
});

test('when time is up all is let go by itself, also where a resume fails, and it is told', async () => {
  for (const resume of ['true', 'exit 3']) {
    await using world = await openHeld({ a: { within: '1s', resume } });
    const held = await world.hold();
    while (world.told().length < ALL_CALLED.length) await sleep(20);
    assert.deepEqual([world.told(), world.isLocked(), held.isExpired], [ALL_CALLED, false, true]);
    const [released] = await Promise.allSettled([held[Symbol.asyncDispose]()]);
    assert.equal(released.status, resume === 'true' ? 'fulfilled' : 'rejected');
  }
});

test('who gives up while a store is locked by another lets go what it holds', async () => {
  await using world = await openHeld({});
  using other = new DatabaseSync(world.shop.at('notes.db'));
  other.exec('BEGIN IMMEDIATE');
  const stop = new AbortController();
  const holding = assert.rejects(world.hold({ signal: stop.signal }), /enough/);
  while (!world.told().includes('pause-b')) await sleep(20);
  await sleep(100);
  stop.abort(new Error('enough'));
  await holding;
  other.exec('ROLLBACK');
  assert.deepEqual([world.told(), world.isLocked()], [ALL_CALLED, false]);
});

test('where a store can’t be held nobody is paused', async () => {
  await using world = await openHeld({});
  const { shop } = world;
  const text = readFileSync(shop.at('tidemark.yaml'), 'utf8');
  writeFileSync(shop.at('tidemark.yaml'), `${text}  other: files:./other\n`);
  await using application = await openShopApplication(shop);
  const { stores } = needConfiguration(application.context);
  await assert.rejects(holdStores(application, stores, run), { code: 'UNSUPPORTED', message: /other/ });
  assert.deepEqual(world.told(), []);
});
