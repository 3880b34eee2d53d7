import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Configuration, StoreConfiguration } from '../config/configuration.ts';
import { TidemarkError } from '../core/errors.ts';
import type { Position } from '../core/position.ts';
import type { Run } from '../core/run.ts';
import { createSeededRandom } from '../flow/random.ts';
import { createVirtualClock } from '../flow/virtual-clock.ts';
import { positionAt } from '../testing/repository-fixture.ts';
import type { StoreRecording } from './store-recording.ts';
import { standsAtSamePlace, takeClockMark } from './take-mark.ts';

const run: Run = { signal: new AbortController().signal };
const READ_MS = 10;

/** What becomes of a store while it is read: every read finds it one further. */
type Fake = { readonly fails?: Error; readonly neverComes?: boolean; readonly stands?: number; readonly base?: string };

/** Takes a mark over stores of which `orders` refers to `uploads`. Reads take 10 ms each, and what was read comes a second later. */
async function taken(fakes: Readonly<Record<string, Fake>>) {
  const clock = createVirtualClock(1_000_000);
  const log: string[] = [];
  const reads = new Map<string, number>();
  const recordingOf = (name: string, { fails, neverComes = false, stands, base }: Fake) => ({
    standingBase: base === undefined ? undefined : { key: base, cut: positionAt(stands ?? 0), fromMs: 400_000 },
    async position(): Promise<Position> {
      await clock.sleep(READ_MS, run);
      const at = (reads.get(name) ?? 0) + 1;
      reads.set(name, at);
      log.push(`${name} ${stands ?? at}`);
      if (fails !== undefined) throw fails;
      return positionAt(stands ?? at);
    },
    async label(text: string): Promise<void> {
      if (fails !== undefined) throw fails;
      log.push(`${name} is labelled ${text}`);
    },
    async received(): Promise<void> {
      await clock.sleep(1_000, run);
      if (neverComes) throw new TidemarkError('STORE_UNREACHABLE', 'it tells of nothing');
    },
  });
  const stores = ['uploads', 'catalog', 'orders'].map((name) => ({
    name,
    references: name === 'orders' ? ['uploads'] : [],
  }));
  const options = {
    runtime: {
      clock,
      random: createSeededRandom(1).bytes,
      logger: { log: () => undefined },
      temporaryFolder: '/nowhere',
    },
    // Nothing else of a store is looked at.
    configuration: { stores: stores as unknown as readonly StoreConfiguration[] } as Configuration,
    recordings: new Map(
      Object.entries(fakes).map(([name, fake]) => [name, recordingOf(name, fake) as unknown as StoreRecording]),
    ),
    name: 'named',
    tags: ['a', 'a'],
  };
  const mark = await clock.runUntil(takeClockMark(options, run));
  return { mark, log };
}

test('who refers to others is read before them, and a floor of these before all; the skew spans the reads alone', async () => {
  const { mark, log } = await taken({ orders: {}, catalog: {}, uploads: {} });
  const labels = ['orders', 'catalog', 'uploads'].map((name) => `${name} is labelled named`);
  assert.deepEqual(log.splice(0, labels.length), labels, 'its name is in all stores before any is read');
  assert.deepEqual(log.toSorted(), ['catalog 1', 'orders 1', 'uploads 1', 'uploads 2']);
  assert.equal(log[0], 'uploads 1');
  assert.ok(log.indexOf('orders 1') < log.indexOf('uploads 2'));
  assert.deepEqual([mark.atMs, mark.skewMs], [1_000_000 + 4 * READ_MS, 4 * READ_MS]);
  assert.deepEqual(mark.positions, { uploads: positionAt(2), catalog: positionAt(1), orders: positionAt(1) });
  assert.deepEqual([mark.floors, mark.missing], [{ uploads: positionAt(1) }, []]);
  assert.deepEqual([mark.class, mark.name, mark.tags, mark.bases], ['clock', 'named', ['a'], {}]);
});

test('where nothing happened since the floor was read there is none', async () => {
  const { mark } = await taken({ orders: {}, catalog: {}, uploads: { stands: 7 } });
  assert.deepEqual([mark.floors, mark.positions['uploads']], [undefined, positionAt(7)]);
});

test('a store that can’t be read, whose log does not come, or that nobody records is missing, and no other is', async () => {
  const away = new TidemarkError('STORE_UNREACHABLE', 'it is away');
  const { mark } = await taken({ orders: { fails: away }, catalog: {}, uploads: { neverComes: true } });
  assert.deepEqual([mark.missing.toSorted(), Object.keys(mark.positions)], [['orders', 'uploads'], ['catalog']]);
  assert.equal(mark.floors, undefined);
  assert.deepEqual((await taken({ orders: {}, catalog: {} })).mark.missing, ['uploads']);
  const full = Object.assign(new Error('ENOSPC'), { code: 'ENOSPC' });
  assert.deepEqual((await taken({ orders: { fails: full }, catalog: {}, uploads: {} })).mark.missing, ['orders']);
  await assert.rejects(taken({ orders: { fails: new TypeError('a fault') }, catalog: {}, uploads: {} }), /a fault/);
});

test('two marks stand at the same place when they have the same stores, each at one place of one lineage', async () => {
  const { mark } = await taken({ orders: {}, catalog: {}, uploads: {} });
  assert.ok(standsAtSamePlace(mark, { ...mark, id: 'other', atMs: 0 }));
  for (const position of [positionAt(2), { ...positionAt(1), lineage: 'other' }]) {
    assert.equal(standsAtSamePlace(mark, { ...mark, positions: { ...mark.positions, orders: position } }), false);
  }
  const { orders: _, ...fewer } = mark.positions;
  assert.equal(standsAtSamePlace(mark, { ...mark, positions: fewer }), false);
  assert.equal(standsAtSamePlace(mark, { ...mark, missing: ['orders'] }), false);
});

test('a store that stands at its newest base is named with it, and its age is part of the skew', async () => {
  const { mark } = await taken({ orders: {}, catalog: { stands: 3, base: 'bases/1' }, uploads: {} });
  assert.deepEqual([mark.bases, mark.missing], [{ catalog: 'bases/1' }, []]);
  assert.equal(mark.skewMs, mark.atMs - 400_000);
});
