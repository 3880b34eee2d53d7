import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  createMomentFormat,
  createTimeFormat,
  formatAge,
  formatCount,
  formatDuration,
  formatMode,
  formatNumberOf,
  formatShare,
  formatSize,
} from './format.ts';

test('sizes have at most three digits and are never rounded up', () => {
  const table = {
    0: '0 B',
    1023: '1023 B',
    1024: '1.0 KiB',
    1535: '1.4 KiB',
    10239: '9.9 KiB',
    10240: '10 KiB',
    1048575: '1023 KiB',
    1048576: '1.0 MiB',
  };
  for (const [bytes, text] of Object.entries(table)) assert.equal(formatSize(Number(bytes)), text);
  assert.equal(formatSize(Number.MAX_SAFE_INTEGER), '7.9 PiB');
});

test('durations are told in at most two units', () => {
  const table = {
    0: '0 ms',
    999: '999 ms',
    1000: '1.0 s',
    9999: '9.9 s',
    10_000: '10 s',
    60_000: '1 min',
    185_000: '3 min 5 s',
    3_600_000: '1 h',
    7_800_000: '2 h 10 min',
    1_220_400_000: '14 d 3 h',
  };
  for (const [ms, text] of Object.entries(table)) assert.equal(formatDuration(Number(ms)), text);
});

test('ages are told in one unit, of which there are two at least', () => {
  const table = {
    85: '85 ms',
    1999: '1 s',
    119_999: '119 s',
    120_000: '2 min',
    7_199_999: '119 min',
    7_200_000: '2 h',
    172_799_999: '47 h',
    172_800_000: '2 d',
  };
  for (const [ms, text] of Object.entries(table)) assert.equal(formatAge(Number(ms)), text);
});

test('counts are grouped, and one is one', () => {
  assert.deepEqual([0, 999, 1000, 1234567].map(formatCount), ['0', '999', '1,000', '1,234,567']);
  assert.equal(formatNumberOf(1, 'entry', 'entries'), '1 entry');
  assert.equal(formatNumberOf(12_345, 'entry', 'entries'), '12,345 entries');
});

test('a share is complete only when all is there', () => {
  assert.deepEqual([-1, 0, 0.999, 1, 2].map(formatShare), ['0%', '0%', '99%', '100%', '100%']);
});

test('times are shown in the zone that is asked for', () => {
  assert.equal(createTimeFormat('UTC')('2026-11-20T23:05:07.123Z'), '2026-11-20 23:05:07');
  assert.equal(createTimeFormat('Europe/Berlin')('2026-11-20T23:05:07.123Z'), '2026-11-21 00:05:07');
  assert.equal(createTimeFormat('Asia/Kolkata')(0), '1970-01-01 05:30:00');
});

test('a moment is shown to the millisecond, in the zone', () => {
  assert.equal(createMomentFormat('Asia/Kathmandu')('2026-11-20T23:05:07.012Z'), '2026-11-21 04:50:07.012');
  assert.equal(createMomentFormat('UTC')('2026-11-20T23:05:07Z'), '2026-11-20 23:05:07.000');
});

test('permission bits read as ls shows them', () => {
  assert.equal(formatMode(0o755), 'rwxr-xr-x');
  assert.equal(formatMode(0o640), 'rw-r-----');
  assert.equal(formatMode(0o4755), 'rwsr-xr-x');
  assert.equal(formatMode(0o2640), 'rw-r-S---');
  assert.equal(formatMode(0o1777), 'rwxrwxrwt');
  assert.equal(formatMode(0o7000), '--S--S--T');
});
