import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decodeOrigin, encodeOrigin } from './base.ts';

test('an origin is read as it was written, and one whose offset is no number is none', () => {
  const origin = {
    server: 'redis',
    version: '7.2.4',
    replId: 'a'.repeat(40),
    offset: '4711',
    slots: undefined,
  } as const;
  assert.deepEqual(decodeOrigin(encodeOrigin(origin)), { ...origin, offset: 4711n });
  for (const offset of ['', 'x', '1x', '-1', '0x1', '1'.repeat(20)]) {
    assert.equal(decodeOrigin(encodeOrigin({ ...origin, offset })), undefined, offset);
  }
});
