import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { compareBytes, equalBytes, fromHex, startsWithBytes, toHex } from './bytes.ts';

/** Views into larger memory, as most bytes are. */
const views = fc
  .tuple(fc.uint8Array({ maxLength: 6, max: 3 }), fc.nat(3))
  .map(([bytes, before]) =>
    new Uint8Array(Buffer.concat([Buffer.alloc(before), bytes, Buffer.alloc(2)])).subarray(
      before,
      before + bytes.byteLength,
    ),
  );

test('bytes are ordered as their hexadecimal text is', () => {
  fc.assert(
    fc.property(views, views, (left, right) => {
      const [one, other] = [toHex(left), toHex(right)];
      assert.equal(Math.sign(compareBytes(left, right)), one === other ? 0 : one < other ? -1 : 1);
      assert.equal(equalBytes(left, right), one === other);
      assert.equal(startsWithBytes(left, right), one.startsWith(other));
    }),
  );
});

test('hexadecimal text reads back to the same bytes, and nothing else is read', () => {
  fc.assert(fc.property(views, (bytes) => assert.ok(equalBytes(fromHex(toHex(bytes)), bytes))));
  for (const text of ['0', 'AB', 'zz', ' 00', '00\n']) assert.throws(() => fromHex(text), RangeError);
});
