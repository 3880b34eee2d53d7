import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { TidemarkError } from '../core/errors.ts';
import { loadCatalogue } from '../repository/catalogue.ts';
import type { MarkRecord } from '../repository/catalogue.ts';
import type { Mark } from '../repository/mark.ts';
import { LogFixture, positionAt } from '../testing/log-fixture.ts';
import { parseTargetTime, resolveTarget } from './target.ts';

const NOW_MS = Date.parse('2026-11-20T12:00:00Z');

function record(id: string, at: string, more: Partial<Mark> = {}): MarkRecord {
  const mark: Mark = {
    id,
    tags: [],
    class: 'clock',
    atMs: Date.parse(at),
    skewMs: 0,
    positions: {},
    bases: {},
    missing: [],
    ...more,
  };
  return {
    key: `journal/${id}`,
    mark,
    signed: mark,
    modifiedMs: mark.atMs,
    pinned: false,
    session: 's',
    credential: 'c',
    isConfirmed: true,
    heldBy: [`journal/${id}`],
    standsOn: new Map(),
  };
}

const MARKS = [
  record('20261118-100000-aaaa', '2026-11-18T10:00:00Z', { name: 'twice' }),
  record('20261119-100000-bbbb', '2026-11-19T10:00:00Z', { name: 'once' }),
  record('20261119-100001-cccc', '2026-11-19T10:00:01Z', { name: 'twice' }),
  record('20261120-100000-dddd', '2026-11-20T10:00:00Z', { missing: ['photos'] }),
];

type Stores = { readonly stores?: readonly string[]; readonly manifest?: readonly string[] };

function resolve(
  target: string,
  timezone = 'UTC',
  marks: readonly MarkRecord[] = MARKS,
  { stores = [], manifest = [] }: Stores = {},
): string {
  const catalogue = { marks, bases: new Map(), histories: new Map(), gaps: [] };
  return resolveTarget(catalogue, target, { nowMs: NOW_MS, timezone, stores, manifest }).mark.id.slice(-4);
}

function over(...stores: readonly string[]): Pick<Mark, 'positions'> {
  return { positions: Object.fromEntries(stores.map((store) => [store, positionAt(1)])) };
}

test('a target is latest, an id or its beginning, a name, or a time', () => {
  const cases: readonly (readonly [target: string, expected: string])[] = [
    ['latest', 'cccc'],
    ['20261118-100000-aaaa', 'aaaa'],
    ['20261120-100000-dddd', 'dddd'],
    ['20261118', 'aaaa'],
    ['once', 'bbbb'],
    ['2026-11-19T10:00:00Z', 'bbbb'],
    ['2026-11-19T10:00:00.999Z', 'bbbb'],
    ['2026-11-19T11:00:00+01:00', 'bbbb'],
    ['2026-11-19 10:00', 'bbbb'],
    ['2026-11-20', 'cccc'],
    ['5m ago', 'cccc'],
    ['25h ago', 'cccc'],
    ['26h ago', 'bbbb'],
    ['27h ago', 'aaaa'],
  ];
  for (const [target, expected] of cases) assert.equal(resolve(target), expected, target);
  assert.equal(resolve('2026-11-19 11:00', 'Europe/Berlin'), 'bbbb');
});

test('a time means the newest complete mark at or before it', () => {
  assert.equal(resolve('2026-11-20T11:00:00Z'), 'cccc');
  assert.throws(() => resolve('2026-11-18T09:59:59Z'), { code: 'TARGET_OUTSIDE_WINDOW', hint: /from 2026-11-18T10/ });
  assert.throws(() => resolve('latest', 'UTC', MARKS.slice(3)), { code: 'TARGET_OUTSIDE_WINDOW' });
});

test('what fits several marks or none is an error that names others', () => {
  assert.throws(() => resolve('twice'), { code: 'TARGET_AMBIGUOUS', hint: /aaaa, 20261119-100001-cccc/ });
  assert.throws(() => resolve('20261119-1'), { code: 'TARGET_AMBIGUOUS' });
  assert.throws(() => resolve('onse'), { code: 'TARGET_UNKNOWN', hint: /Did you mean once\?/ });
  assert.throws(() => resolve('something-else'), { code: 'TARGET_UNKNOWN', hint: /newest marks are .*cccc/ });
  assert.throws(() => resolve('201'), { code: 'TARGET_UNKNOWN' });
  assert.throws(() => resolve('x', 'UTC', []), { code: 'TARGET_UNKNOWN', hint: /no complete marks yet/ });
});

test('where all marks are partial, that says which is the newest and what it is without', () => {
  const partial = [
    record('20261119-100000-bbbb', '2026-11-19T10:00:00Z', { missing: ['photos'] }),
    record('20261120-100000-dddd', '2026-11-20T10:00:00Z', { missing: ['photos', 'db'] }),
  ];
  for (const target of ['latest', '2026-11-20 12:00']) {
    assert.throws(() => resolve(target, 'UTC', partial), {
      code: 'TARGET_OUTSIDE_WINDOW',
      message: 'there is no complete mark yet',
      hint: /newest is 20261120-100000-dddd, without photos, db\. .*name the stores/,
    });
  }
});

test('an id that two marks have names neither of them', () => {
  const twin = record('20261119-100000-bbbb', '2026-11-19T11:00:00Z');
  const marks = [...MARKS.slice(0, 3), twin];
  for (const target of ['20261119-100000-bbbb', '20261119-100000']) {
    assert.throws(() => resolve(target, 'UTC', marks), {
      code: 'TARGET_AMBIGUOUS',
      hint: /2026-11-19T10:00:00.000Z, 2026-11-19T11:00:00.000Z/,
    });
  }
  assert.equal(resolve('20261118-100000-aaaa', 'UTC', marks), 'aaaa');
});

/** Two applications in one repository, the second of them the newer one. */
const SHARED = [
  record('20261118-100000-aaaa', '2026-11-18T10:00:00Z', over('db', 'files')),
  record('20261119-080000-bbbb', '2026-11-19T08:00:00Z', { ...over('db'), missing: ['files'] }),
  record('20261119-090000-cccc', '2026-11-19T09:00:00Z', over('wiki')),
  record('20261119-100000-dddd', '2026-11-19T10:00:00Z', over('db', 'files')),
  record('20261120-100000-eeee', '2026-11-20T10:00:00Z', over('wiki')),
];

function shared(target: string, stores: Stores, marks: readonly MarkRecord[] = SHARED): string {
  return resolve(target, 'UTC', marks, stores);
}

test('latest and times are of the marks that have the stores of the manifest, or those that are named', () => {
  const shop = { manifest: ['db', 'files'] };
  const cases: readonly (readonly [target: string, stores: Stores, expected: string])[] = [
    ['latest', {}, 'eeee'],
    ['latest', shop, 'dddd'],
    ['latest', { manifest: ['wiki'] }, 'eeee'],
    ['latest', { ...shop, stores: ['wiki'] }, 'eeee'],
    ['latest', { stores: ['files'] }, 'dddd'],
    ['2026-11-19T09:30:00Z', {}, 'cccc'],
    ['2026-11-19T09:30:00Z', shop, 'aaaa'],
    ['2026-11-19T09:30:00Z', { stores: ['db'] }, 'bbbb'],
    ['2026-11-19T09:30:00Z', { stores: ['db', 'files'] }, 'aaaa'],
    ['20261120-100000-eeee', shop, 'eeee'],
  ];
  for (const [target, stores, expected] of cases) assert.equal(shared(target, stores), expected, target);
  assert.throws(() => shared('2026-11-19T08:59:59Z', { manifest: ['wiki'] }), {
    code: 'TARGET_OUTSIDE_WINDOW',
    hint: /window goes from 2026-11-19T09:00.* to 2026-11-20T10:00.*its first marks are 20261119-090000-cccc/,
  });
});

test('latest and times of stores that are named are of marks that have all of them, also of one that is partial for others', () => {
  const marks = [
    ...SHARED,
    record('20261120-110000-ffff', '2026-11-20T11:00:00Z', { ...over('db', 'cache'), missing: ['files'] }),
    record('20261120-113000-9999', '2026-11-20T11:30:00Z', { ...over('db', 'files'), missing: ['db', 'files'] }),
  ];
  const cases: readonly (readonly [target: string, stores: Stores, expected: string])[] = [
    ['latest', { stores: ['db'] }, 'ffff'],
    ['latest', { stores: ['cache', 'db'], manifest: ['db', 'files', 'cache'] }, 'ffff'],
    ['latest', { stores: ['db', 'files'] }, 'dddd'],
    ['latest', { manifest: ['db'] }, 'dddd'],
    ['2026-11-20T11:45:00Z', { stores: ['db'] }, 'ffff'],
    ['2026-11-20T10:59:59Z', { stores: ['db'] }, 'dddd'],
  ];
  for (const [target, stores, expected] of cases) {
    assert.equal(shared(target, stores, marks), expected, JSON.stringify([target, stores]));
  }
  assert.throws(() => shared('2026-11-20T10:59:59Z', { stores: ['cache'] }, marks), {
    code: 'TARGET_OUTSIDE_WINDOW',
    message: /^no mark of cache at or before/,
  });
  assert.throws(() => shared('latest', { stores: ['db', 'files'] }, marks.slice(-2, -1)), {
    code: 'TARGET_OUTSIDE_WINDOW',
    hint: /^None has all that is named; the newest that has some of it is 20261120-110000-ffff, without files/,
  });
});

test('a store of the manifest that no mark has yet leaves the newest mark of the others', () => {
  const grown = { manifest: ['db', 'files', 'cache'] };
  assert.equal(shared('latest', grown), 'dddd');
  assert.equal(shared('2026-11-19T09:30:00Z', grown), 'aaaa');
  const later = [...SHARED, record('20261120-110000-ffff', '2026-11-20T11:00:00Z', over('db', 'files', 'cache'))];
  assert.equal(shared('latest', grown, later), 'ffff');
  assert.equal(shared('2026-11-20T10:30:00Z', grown, later), 'dddd');
});

test('where no mark is of the stores that are meant, none of another application is taken', () => {
  for (const target of ['latest', '5m ago']) {
    assert.throws(() => shared(target, { manifest: ['mail'] }), {
      code: 'TARGET_OUTSIDE_WINDOW',
      message: /no complete mark of mail/,
      hint: /The marks that are there are of db, files, wiki/,
    });
    assert.throws(() => shared(target, { stores: ['mial'] }), {
      code: 'TARGET_UNKNOWN',
      message: /has the store mial/,
    });
  }
});

test('a time without a zone is read in the manifest’s, also where clocks change', () => {
  const read = (text: string, timezone: string): string | undefined => {
    const atMs = parseTargetTime(text, { nowMs: NOW_MS, timezone });
    return atMs === undefined ? undefined : new Date(atMs).toISOString();
  };
  assert.equal(read('2026-07-01 12:00', 'Europe/Berlin'), '2026-07-01T10:00:00.000Z');
  assert.equal(read('2026-12-01 12:00', 'Europe/Berlin'), '2026-12-01T11:00:00.000Z');
  assert.equal(read('2026-07-01 00:15:30.5', 'Asia/Kathmandu'), '2026-06-30T18:30:30.500Z');
  // In this hour clocks go from 02:00 to 03:00.
  assert.equal(read('2026-03-29 02:30', 'Europe/Berlin')?.slice(0, 10), '2026-03-29');
  assert.throws(() => read('2026-10-25 02:30', 'Europe/Berlin'), {
    code: 'TARGET_AMBIGUOUS',
    hint: 'Write 2026-10-25T00:30:00.000Z or 2026-10-25T01:30:00.000Z.',
  });
  for (const text of ['2026-13-01', '2026-02-30', '2026-01-01 25:00', '2026-1-1', 'yesterday', '5 ago', '-5m ago']) {
    assert.equal(read(text, 'UTC'), undefined, text);
  }
});

test('a time in a gap is an error that names the gap, the window and the nearest marks', async () => {
  await using fixture = await LogFixture.create();
  await fixture.base('orders', { at: 10, order: 1 });
  await fixture.base('uploads', { at: 11, order: 1 });
  const both = (order: number, lineage = 'a'): Mark['positions'] => ({
    orders: positionAt(order, lineage),
    uploads: positionAt(1),
  });
  const before = await fixture.mark(20, { positions: both(1) });
  await fixture.gap({ store: 'orders', after: positionAt(1), from: 20, to: 25, reason: 'the slot was lost' });
  const at = async (seconds: number, stores: readonly string[] = []): Promise<string> => {
    const catalogue = await loadCatalogue(fixture.repository.owner, [], fixture.repository.run);
    const options = { nowMs: fixture.at(100), timezone: 'UTC', stores };
    return resolveTarget(catalogue, new Date(fixture.at(seconds)).toISOString(), options).mark.id;
  };
  await assert.rejects(at(30), {
    code: 'TARGET_IN_GAP',
    message: /lies in a gap of orders, since 2026-03-01T00:00:20.000Z: the slot was lost/,
  });
  await fixture.base('orders', { at: 40, order: 1, lineage: 'b' });
  const after = await fixture.mark(50, { positions: both(1, 'b') });
  await assert.rejects(at(30), ({ code, hint }: TidemarkError) => {
    assert.equal(code, 'TARGET_IN_GAP');
    assert.match(hint, /window goes from 2026-03-01T00:00:20.000Z to 2026-03-01T00:00:50.000Z/);
    assert.ok(hint.includes(`${before.id} of`) && hint.includes(`and ${after.id} of`), hint);
    return true;
  });
  assert.equal(await at(30, ['uploads']), before.id);
  assert.equal(await at(20), before.id);
  assert.equal(await at(45), before.id);
  assert.equal(await at(55), after.id);
});
