import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isTidemarkError } from '../../core/errors.ts';
import { JsonFields } from '../format/json.ts';
import { readJournal, writeJournal } from './journal-body.ts';
import type { JournalBody, Segment } from './journal-body.ts';

const at = (order: string) => ({ lineage: 'l', order, resume: `r${order}` });

const SEGMENT: Segment = {
  store: 'orders',
  history: 'orders',
  after: at('1'),
  upTo: at('3'),
  fromMs: 10,
  toMs: 20,
  changes: 2,
  storedBytes: 100,
  packs: [],
  body: undefined,
};

const BODY: JournalBody = {
  marks: [
    {
      id: 'a-mark',
      name: undefined,
      tags: ['t'],
      class: 'sealed',
      atMs: 30,
      skewMs: 0,
      positions: { orders: at('3'), uploads: at('2') },
      bases: {},
      floors: { uploads: at('1') },
      missing: [],
    },
  ],
  segments: [SEGMENT, { ...SEGMENT, packs: ['ab'.repeat(32), 'cd'.repeat(32)], body: 'ef'.repeat(32) }],
  gaps: [
    { store: 'orders', history: 'orders', after: at('3'), fromMs: 20, toMs: 40, reason: 'slot lost' },
    { store: 'uploads', history: 'uploads', after: undefined, fromMs: 20, toMs: 40, reason: 'unknown' },
  ],
};

function read(value: unknown): JournalBody {
  return readJournal(new JsonFields(JSON.parse(JSON.stringify(value)), 'a journal'));
}

test('marks with positions, floors and no base, segments and gaps are read as they were written', () => {
  assert.deepEqual(read(writeJournal(BODY)), BODY);
});

test('what is not there takes no room, and what an older writer left out is nothing', () => {
  const value = writeJournal({ marks: [], segments: [], gaps: [] });
  assert.deepEqual(value, { marks: [] });
  assert.deepEqual(read(value), { marks: [], segments: [], gaps: [] });
});

test('a gap of what can’t be a store is damage', () => {
  const gaps = [{ store: 'a/b', history: 'a/b', fromMs: 1, toMs: 2, reason: 'unknown' }];
  assert.throws(
    () => read({ marks: [], gaps }),
    (error) => isTidemarkError(error, 'REPOSITORY_DAMAGED'),
  );
});

test('a segment whose body, size, position, packs or store could not be one is damage', () => {
  const broken = [
    { body: 'short' },
    { storedBytes: -1 },
    { after: { lineage: 'l', order: '1' } },
    { upTo: { ...at('3'), order: 'é' } },
    { packs: '?' },
    { packs: Buffer.alloc(33).toString('base64') },
    { store: '' },
  ];
  for (const change of broken) {
    const segments = [{ ...SEGMENT, packs: undefined, ...change }];
    assert.throws(
      () => read({ marks: [], segments }),
      (error) => isTidemarkError(error, 'REPOSITORY_DAMAGED'),
      JSON.stringify(change),
    );
  }
});
