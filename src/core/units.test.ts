import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { parseDuration, parseSize, writeDuration, writeSize } from './units.ts';

test('durations and sizes are whole numbers of one unit', () => {
  const durations = { '5s': 5_000, '15m': 900_000, '36h': 129_600_000, '14d': 1_209_600_000, '0s': 0 };
  for (const [text, ms] of Object.entries(durations)) assert.equal(parseDuration(text), ms, text);
  const sizes = { '0B': 0, '512B': 512, '64KiB': 65_536, '8MiB': 8_388_608, '1GiB': 2 ** 30, '2TiB': 2 ** 41 };
  for (const [text, bytes] of Object.entries(sizes)) assert.equal(parseSize(text), bytes, text);
});

test('anything else is no duration and no size', () => {
  for (const text of ['', '5', 's', '-5s', '5 s', '1.5h', '5S', '5ms', '1h30m', '5s\n', '9999999999s', '٥s']) {
    assert.equal(parseDuration(text), undefined, text);
  }
  for (const text of ['', '8', 'MiB', '8MB', '8 MiB', '-1B', '1.5GiB', '8mib', '999999999999TiB']) {
    assert.equal(parseSize(text), undefined, text);
  }
});

test('what is written reads back to the same', () => {
  fc.assert(
    fc.property(fc.nat(1_000_000), fc.constantFrom(1_000, 60_000, 3_600_000, 86_400_000), (count, unitMs) => {
      assert.equal(parseDuration(writeDuration(count * unitMs)), count * unitMs);
    }),
  );
  fc.assert(fc.property(fc.maxSafeNat(), (bytes) => assert.equal(parseSize(writeSize(bytes % 1e12)), bytes % 1e12)));
});
