import assert from 'node:assert/strict';
import { test } from 'node:test';
import { segmentStart, withoutHeader } from './wal-history.ts';

const SHAPE = { segmentBytes: 0x1000000n, pageBytes: 8192n };

test('the header of a page that holds nothing yet is not waited for', () => {
  assert.equal(withoutHeader(0x3000028n, SHAPE), 0x3000000n);
  assert.equal(withoutHeader(0x3002018n, SHAPE), 0x3002000n);
  assert.equal(withoutHeader(0x3002028n, SHAPE), 0x3002028n);
  assert.equal(withoutHeader(0x3002100n, SHAPE), 0x3002100n);
  assert.equal(segmentStart(0x3002100n, SHAPE), 0x3000000n);
});
