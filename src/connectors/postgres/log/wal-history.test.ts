import assert from 'node:assert/strict';
import { test } from 'node:test';
import { segmentStart, WalHistory, withoutHeader } from './wal-history.ts';

const SHAPE = { segmentBytes: 0x1000000n, pageBytes: 8192n };

function history(): WalHistory {
  return new WalHistory({ lineage: { id: '7-1-ab' }, shape: SHAPE, timelines: { current: 1, left: [] } });
}

test('the header of a page that holds nothing yet is not waited for', () => {
  assert.equal(withoutHeader(0x3000028n, SHAPE), 0x3000000n);
  assert.equal(withoutHeader(0x3002018n, SHAPE), 0x3002000n);
  assert.equal(withoutHeader(0x3002028n, SHAPE), 0x3002028n);
  assert.equal(withoutHeader(0x3002100n, SHAPE), 0x3002100n);
  assert.equal(segmentStart(0x3002100n, SHAPE), 0x3000000n);
});

test('the log is cut at every place that was named before it got there, at segments, and nowhere else', () => {
  const log = history();
  log.deliver(0x3000000n);
  for (const place of [0x3000500n, 0x3000100n, 0x3000500n, 0x3000300n]) assert.equal(log.cover(place), place);
  assert.equal(log.cutOf(0x3000000n, 0x3001000n), 0x3000100n);
  assert.equal(log.cutOf(0x3000100n, 0x3001000n), 0x3000300n);
  assert.equal(log.cutOf(0x3000300n, 0x3000400n), 0x3000400n);
  assert.equal(log.cutOf(0x3000500n, 0x4000100n), 0x4000000n);
  assert.ok(log.mustEndAt(0x3000300n) && log.mustEndAt(0x4000000n) && !log.mustEndAt(0x3000400n));
  log.deliver(0x3000300n);
  assert.ok(!log.mustEndAt(0x3000300n) && log.mustEndAt(0x3000500n));
});

test('a place that has been passed is covered by where the log is', () => {
  const log = history();
  log.deliver(0x3000300n);
  assert.equal(log.cover(0x3000200n), 0x3000300n);
  assert.equal(log.cover(0x3000300n), 0x3000300n);
});
