import assert from 'node:assert/strict';
import { test } from 'node:test';
import { restorableWindows } from './windows.ts';

const at = (hour: number): string => `2026-11-20T${String(hour).padStart(2, '0')}:00:00.000Z`;
const base = (hour: number): { id: string; at: string; proven: boolean } => ({
  id: `b${hour}`,
  at: at(hour),
  proven: false,
});
const log = (from: number, to: number): { from: string; to: string; segments: number } => ({
  from: at(from),
  to: at(to),
  segments: 1,
});
const window = (from: number, to: number): { from: string; to: string } => ({ from: at(from), to: at(to) });

test('every moment from the first base to the end of its log, and none across a gap', () => {
  assert.deepEqual(restorableWindows({ bases: [base(2), base(5), base(9)], logs: [log(1, 7), log(8, 12)] }), [
    window(2, 7),
    window(9, 12),
  ]);
});

test('a base without a log is one moment, and a log without a base is none', () => {
  assert.deepEqual(restorableWindows({ bases: [base(2), base(4)], logs: [] }), [window(2, 2), window(4, 4)]);
  assert.deepEqual(restorableWindows({ bases: [base(2)], logs: [log(3, 7)] }), [window(2, 2)]);
  assert.deepEqual(restorableWindows({ bases: [], logs: [log(3, 7)] }), []);
});

test('a base at which its log begins, or ends, belongs to it', () => {
  assert.deepEqual(restorableWindows({ bases: [base(2), base(7)], logs: [log(2, 7)] }), [window(2, 7)]);
});
