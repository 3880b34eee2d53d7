import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseManifest } from '../config/parse-manifest.ts';
import type { BaseRecord } from '../repository/catalogue.ts';
import type { WrittenBase } from '../repository/writer.ts';
import { chosenStores } from './chosen-stores.ts';
import { composeMark } from './compose-mark.ts';
import type { MarkParts } from './compose-mark.ts';

const MANIFEST = `application: shop
repository: ./backups
stores:
  photos: files:./photos
  orders: { url: files:./orders, references: [photos] }
  logs: files:./logs
`;

const configuration = await parseManifest(MANIFEST, { file: 'tidemark.yaml', folder: '/' });

function cut(order: string): WrittenBase['cut'] {
  return { lineage: 'l', order, resume: '' };
}

function taken(key: string, startedAtMs: number, endedAtMs: number): WrittenBase {
  return {
    key,
    cut: cut(key),
    startedAtMs,
    endedAtMs,
    stored: {
      root: Buffer.of(),
      level: 0,
      entries: 0,
      bytes: 0,
      isEmpty: false,
      newBytes: 0,
      storedBytes: 0,
      packs: new Set(),
      end: { logFrom: cut(key), cut: cut(key), skipped: [], skippedCount: 0, incompleteCount: 0 },
    },
  };
}

/** Of a base that is there already, a mark needs no more than this. */
function standing(key: string, startedAtMs: number, createdAtMs: number): BaseRecord {
  return { key, summary: { cut: cut(key), startedAtMs, createdAtMs } } as BaseRecord;
}

function compose(parts: Partial<MarkParts>): ReturnType<typeof composeMark> {
  return composeMark({
    configuration,
    tags: ['t'],
    random: (size) => new Uint8Array(size),
    taken: new Map(),
    failed: [],
    standingBase: () => undefined,
    ...parts,
  });
}

test('the skew runs from the first base’s start to the last one’s end', () => {
  const all = new Map([
    ['orders', taken('o', 1_000, 2_000)],
    ['photos', taken('p', 2_000, 9_000)],
    ['logs', taken('l', 9_000, 9_500)],
  ]);
  const mark = compose({ taken: all, name: 'n' });
  assert.deepEqual([mark.skewMs, mark.atMs, mark.missing, mark.class, mark.name], [8_500, 9_500, [], 'clock', 'n']);
  assert.deepEqual(mark.bases, { photos: 'p', orders: 'o', logs: 'l' });
  assert.equal(mark.id, '19700101-000009-00000000');
});

test('a store that was not asked for enters with its newest base and widens the skew', () => {
  const mark = compose({
    taken: new Map([['orders', taken('o', 8_000, 9_000)]]),
    standingBase: (history) => (history === 'photos' ? standing('old', 1_000, 2_000) : undefined),
  });
  assert.deepEqual([mark.skewMs, mark.missing], [8_000, ['logs']]);
  assert.deepEqual(mark.bases, { photos: 'old', orders: 'o' });
});

test('a store that failed is missing, even where it has an older base', () => {
  const mark = compose({
    taken: new Map([['orders', taken('o', 8_000, 9_000)]]),
    failed: ['photos'],
    standingBase: () => standing('old', 1_000, 2_000),
  });
  assert.deepEqual(mark.missing, ['photos']);
});

test('stores are read before those that they refer to', () => {
  const names = (wanted: readonly string[]): readonly string[] =>
    chosenStores(configuration, wanted).map(({ name }) => name);
  assert.deepEqual(names([]), ['orders', 'photos', 'logs']);
  assert.deepEqual(names(['logs', 'photos', 'orders']), ['orders', 'photos', 'logs']);
  assert.throws(() => names(['nothing']), { code: 'USAGE', hint: /photos, orders, logs/ });
});

test('a tag that is given twice is one tag', () => {
  assert.deepEqual(compose({ tags: ['b', 'a', 'b'] }).tags, ['b', 'a']);
});
