import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { MarkResult, PlanResult } from '../app/results.ts';
import { createMomentFormat, createTimeFormat } from './format.ts';
import { printPlan } from './plan-text.ts';

const mark: MarkResult = {
  id: '20261120-140448-ab12',
  tags: [],
  class: 'clock',
  at: '2026-11-20T14:04:48.000Z',
  skewMs: 12,
  state: 'complete',
  partial: [],
  pinned: false,
};

const orders: PlanResult['stores'][number] = {
  store: 'orders',
  order: 1,
  base: 'manifests/a',
  baseAt: '2026-11-20T03:00:00.000Z',
  segments: 14,
  logBytes: 3_300_000,
  position: { lineage: 'a', order: '1', resume: '1' },
  exact: 'position',
  into: '/srv/orders.db',
  inOneStep: true,
  replaces: true,
  downloadBytes: 2_000_000_000,
  needBytes: 2_000_000_000,
  freeBytes: 40_000_000_000,
  lostAfterMs: 12_000,
  newerMs: 15_000,
};

function printed(plan: PlanResult): string {
  const lines: string[] = [];
  const line = (text = ''): number => lines.push(text);
  printPlan(plan, {
    columns: 80,
    unicode: true,
    line,
    table: () => undefined,
    paint: (_style, text) => text,
    time: createTimeFormat('UTC'),
    moment: createMomentFormat('UTC'),
    drained: async () => undefined,
  });
  return `\n${lines.join('\n')}\n`;
}

test('a plan says what is taken, what it needs, what is lost, and what is in the way', () => {
  const uploads = { ...orders, store: 'uploads', order: 2, segments: 0, logBytes: 0, exact: 'observation' as const };
  const plan: PlanResult = {
    mark,
    at: '2026-11-20T14:05:00.000Z',
    distanceMs: 12_000,
    estimateMs: 185_000,
    stores: [{ ...uploads, into: '/srv/uploads', replaces: false, lostAfterMs: 0, newerMs: 0 }, orders],
    sideEffects: ['uploads: what is there is kept aside'],
    blockers: ['orders: there is not enough room at /srv'],
  };
  assert.equal(
    printed(plan),
    `
to mark 20261120-140448-ab12  2026-11-20 14:04:48.000  clock, skew 12 ms, complete
  the newest complete mark at or before 2026-11-20 14:05:00.000, 12 s before it
orders into /srv/orders.db
  base of 2026-11-20 03:00:00, then 14 segments of log (3.1 MiB), exact to the position
  to bring back: 1.8 GiB at most; 37 GiB are free there
  exchanged with what is there, in one step
  what came after is not in it: 12 s up to the newest complete mark, 15 s up to the newest that is there of this store
uploads into /srv/uploads
  base of 2026-11-20 03:00:00, as it was read
  to bring back: 1.8 GiB at most; 37 GiB are free there
  nothing is there yet
may take 3 min 5 s, by what the last restores took
note uploads: what is there is kept aside
in the way orders: there is not enough room at /srv
`,
  );
});

test('of a place that does not answer it is not said that nothing is there', () => {
  const { replaces: _, ...unknown } = { ...orders, into: 'redis://cache:6379' };
  const text = printed({ at: '2026-11-20T14:05:00.000Z', stores: [unknown], sideEffects: [], blockers: [] });
  assert.match(text, /what is there is not known/);
});

test('without a mark each store says how near it comes', () => {
  const near = (distanceMs: number, covered: boolean, exact: 'position' | 'observation'): string => {
    const nearest = { at: '2026-11-20T14:04:00.000Z', distanceMs, covered };
    const stores = [{ ...orders, nearest, exact }];
    const [, first = '', , second = ''] = printed({
      at: '2026-11-20T14:05:00.000Z',
      stores,
      sideEffects: [],
      blockers: [],
    }).split('\n');
    assert.equal(first, 'each store as near to 2026-11-20 14:05:00.000 as its own log allows');
    return second.trim();
  };
  assert.equal(near(0, true, 'position'), 'as of 2026-11-20 14:04:00.000, exactly');
  assert.equal(
    near(60_000, true, 'position'),
    'as of 2026-11-20 14:04:00.000, 1 min before: nothing is recorded in between',
  );
  assert.equal(
    near(60_000, true, 'observation'),
    'as of 2026-11-20 14:04:00.000, 1 min before: nothing was seen to change in between',
  );
  assert.match(near(60_000, false, 'position'), /what happened in between is not in the repository$/);
});
