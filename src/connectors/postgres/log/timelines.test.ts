import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isOnTheWay, parseTimelines, partedAt, timelineAfter, timelineBefore } from './timelines.ts';
import { must } from '../../../core/must.ts';

const HISTORY = '1\t0/3000148\tno recovery target specified\n\n2\t0/5000060\tbefore 2000-01-01\n';

test('a point of switching belongs to the older timeline, what follows it to the newer one', () => {
  const timelines = must(parseTimelines(3, HISTORY), 'a history');
  assert.deepEqual(
    [0x3000147n, 0x3000148n, 0x3000149n, 0x5000060n, 0x5000061n].map((lsn) => timelineBefore(timelines, lsn)),
    [1, 1, 2, 2, 3],
  );
  assert.deepEqual(
    [0x3000147n, 0x3000148n, 0x5000060n].map((lsn) => timelineAfter(timelines, lsn)),
    [1, 2, 3],
  );
});

test('what a server left before is not on its way', () => {
  const timelines = must(parseTimelines(3, HISTORY), 'a history');
  assert.ok(isOnTheWay(timelines, { timeline: 1, lsn: 0x3000148n }));
  assert.ok(!isOnTheWay(timelines, { timeline: 1, lsn: 0x3000149n }));
  assert.ok(isOnTheWay(timelines, { timeline: 3, lsn: 0x9000000n }));
  assert.ok(!isOnTheWay(timelines, { timeline: 4, lsn: 0x9000000n }));
});

test('a server parted from what was recorded where it left that timeline', () => {
  const timelines = must(parseTimelines(3, HISTORY), 'a history');
  assert.deepEqual(partedAt(timelines, { timeline: 1, lsn: 0x3000200n }), { timeline: 1, lsn: 0x3000148n });
  assert.equal(partedAt(timelines, { timeline: 1, lsn: 0x3000148n }), undefined);
  assert.equal(partedAt(timelines, { timeline: 3, lsn: 0x9000000n }), undefined);
  assert.equal(partedAt(timelines, { timeline: 4, lsn: 0x9000000n }), undefined);
});

test('what no server writes is no history', () => {
  assert.equal(parseTimelines(2, 'nonsense'), undefined);
  assert.equal(parseTimelines(2, '1\tnowhere\tx'), undefined);
});
