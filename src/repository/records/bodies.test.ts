import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isTidemarkError } from '../../core/errors.ts';
import { JsonFields } from '../format/json.ts';
import { readMaintenance, readMark, writeMaintenance, writeMark } from './bodies.ts';
import type { ManifestMaintenance } from './bodies.ts';

const CUT = { lineage: 'l', order: '1', resume: 'r' };
const MANIFEST: ManifestMaintenance = {
  store: 'orders',
  history: 'orders',
  logFrom: CUT,
  cut: CUT,
  exact: 'position',
  entries: 1,
  bytes: 2,
  startedAtMs: 3,
  createdAtMs: 4,
  newBytes: 5,
  storedBytes: 6,
  skippedCount: 0,
  incompleteCount: 0,
  packs: ['ab'.repeat(32), 'cd'.repeat(32)],
};
const MARK = {
  id: '20261121-100502-3f9a',
  tags: [],
  class: 'clock',
  atMs: 1,
  skewMs: 0,
  positions: { orders: CUT },
  bases: {},
  missing: [],
} as const;

function fieldsOf(value: unknown): JsonFields {
  return new JsonFields(JSON.parse(JSON.stringify(value)), 'a record');
}

function refused(read: () => unknown, what: string): void {
  assert.throws(read, (error) => isTidemarkError(error, 'REPOSITORY_DAMAGED'), what);
}

test('a manifest with another form of store, position or packs than it can have is damage', () => {
  const written = fieldsOf(writeMaintenance(MANIFEST)).all;
  assert.deepEqual(readMaintenance(fieldsOf(written)).packs, MANIFEST.packs);
  const broken = [
    { store: '../orders' },
    { store: 'Orders' },
    { store: 'o'.repeat(64) },
    { cut: { ...CUT, order: '१' } },
    { cut: { ...CUT, order: '1'.repeat(65_537) } },
    ...['', 'x', '3x', ' 3', '-3', '3.0', '0x3', '18446744073709551616'].map((order) => ({ cut: { ...CUT, order } })),
    { logFrom: { ...CUT, lineage: 'ü'.repeat(32_769) } },
    { cut: { ...CUT, resume: 'r'.repeat(65_537) } },
    { packs: Buffer.alloc(63).toString('base64') },
  ];
  for (const change of broken) {
    refused(() => readMaintenance(fieldsOf({ ...written, ...change })), JSON.stringify(change).slice(0, 80));
  }
});

test('a position may be as large as the format allows', () => {
  const cut = { lineage: 'ü'.repeat(32_768), order: '18446744073709551615', resume: 'r'.repeat(65_536) };
  const { packs: _packs, ...written } = fieldsOf(writeMaintenance({ ...MANIFEST, cut })).all;
  assert.deepEqual(readMaintenance(fieldsOf({ ...written, packs: '' })).cut, cut);
});

test('a mark whose id or name of a store could not be one is damage', () => {
  for (const id of [MARK.id, `${MARK.id}${'0'.repeat(28)}`, 'mark-1']) {
    assert.equal(readMark(fieldsOf(writeMark({ ...MARK, id }))).id, id);
  }
  const broken = [
    { id: '' },
    { id: 'a\u001b[2J' },
    { id: '20261121-100502-3F9A' },
    { id: 'a'.repeat(101) },
    { positions: { '../orders': CUT } },
    { positions: { orders: { ...CUT, order: 'x' } } },
    { floors: { orders: { ...CUT, order: 'x' } } },
    { bases: { '': 'manifests/a' } },
    { floors: { 'a b': CUT } },
    { missing: ['a\nb'] },
  ];
  for (const change of broken) refused(() => readMark(fieldsOf({ ...MARK, ...change })), JSON.stringify(change));
});
