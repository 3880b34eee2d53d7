import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ByteRuns, logBytes, readLogBytes } from './log-bytes.ts';
import { orderOf } from './position.ts';
import type { Position } from './position.ts';
import type { LoggedChange } from './recorder.ts';

function placeAt(count: number): Position {
  return { lineage: 'l', order: orderOf(count), resume: String(count) };
}

function runOf(start: number, sizeBytes: number): LoggedChange {
  return logBytes(BigInt(start), new Uint8Array(sizeBytes));
}

test('a run of bytes is read as it was written, and nothing else is one', () => {
  const bytes = Buffer.from('bytes');
  assert.deepEqual(readLogBytes(logBytes(2n ** 63n, bytes)), { start: 2n ** 63n, bytes });
  const removed = { name: Buffer.alloc(8), removed: true } as const;
  for (const other of [removed, { name: Buffer.alloc(7), attributes: bytes }]) {
    assert.throws(() => readLogBytes(other), { code: 'REPOSITORY_DAMAGED' });
  }
});

test('runs follow on each other, and may tell again what was told', () => {
  const runs = new ByteRuns(placeAt(10));
  runs.take(runOf(4, 8));
  runs.take(runOf(12, 3));
  runs.take(runOf(10, 2));
  runs.take(runOf(15, 1));
  runs.commit(placeAt(16));
  runs.commit(placeAt(16));
});

test('a hole before a run or a commit is told once, with its places', () => {
  const runs = new ByteRuns(placeAt(10));
  const hole = (from: number, to: number) => ({
    code: 'REPOSITORY_DAMAGED',
    message: new RegExp(`${from} and ${to}$`),
  });
  assert.throws(() => runs.take(runOf(11, 4)), hole(10, 11));
  runs.take(runOf(15, 1));
  assert.throws(() => runs.commit(placeAt(20)), hole(16, 20));
  runs.take(runOf(20, 1));
});
