import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createVirtualClock } from '../flow/virtual-clock.ts';
import type { ProgressLine } from './command.ts';
import { createJsonProgress, createTerminalProgress, progressText } from './progress.ts';

test('a terminal is written to at most ten times a second, a pipe at most once', async () => {
  const clock = createVirtualClock(0);
  const shown: string[] = [];
  const lines: ProgressLine[] = [];
  const sinks = [
    createTerminalProgress({ columns: 80, show: (text) => shown.push(text) }, clock),
    createJsonProgress((line) => lines.push(line), clock),
  ];
  for (let step = 0; step < 200; step += 1) {
    for (const sink of sinks) sink.report({ phase: 'reading', bytes: step });
    await clock.advance(10);
  }
  assert.equal(shown.length, 20);
  assert.equal(lines.length, 2);
});

test('the rate is that of the last seconds, and tells the time that is left', async () => {
  const clock = createVirtualClock(0);
  const lines: ProgressLine[] = [];
  const sink = createJsonProgress((line) => lines.push(line), clock);
  for (let second = 0; second <= 40; second += 1) {
    const bytes = Math.min(second, 20) * 1_000 + Math.max(second - 20, 0) * 100;
    sink.report({ phase: 'reading', bytes, totalBytes: 24_000 });
    await clock.advance(1_000);
  }
  assert.deepEqual([lines[10]?.bytesPerSecond, lines[10]?.leftMs], [1_000, 14_000]);
  assert.deepEqual([lines[40]?.bytesPerSecond, lines[40]?.leftMs], [100, 20_000]);
});

test('where the bytes are not known beforehand, share and time left go by the entries', async () => {
  const clock = createVirtualClock(0);
  const lines: ProgressLine[] = [];
  const sink = createJsonProgress((line) => lines.push(line), clock);
  for (let second = 0; second <= 4; second += 1) {
    sink.report({ phase: 'verifying', bytes: second * 2 ** 20, entries: second * 2, totalEntries: 16 });
    await clock.advance(1_000);
  }
  const last = lines.at(-1);
  assert.ok(last !== undefined);
  assert.equal(last.leftMs, 4_000);
  assert.equal(
    progressText(last, 120),
    'verifying  [##########----------]  50%  4.0 MiB  1.0 MiB/s  4.0 s left  8 of 16 entries',
  );
});

test('a new phase is shown at once and begins a rate of its own', () => {
  const clock = createVirtualClock(0);
  const lines: ProgressLine[] = [];
  const sink = createJsonProgress((line) => lines.push(line), clock);
  sink.report({ phase: 'reading', bytes: 500 });
  sink.report({ phase: 'verifying', bytes: 0 });
  assert.deepEqual(
    lines.map(({ phase, bytesPerSecond }) => [phase, bytesPerSecond]),
    [
      ['reading', 0],
      ['verifying', 0],
    ],
  );
});

test('what goes by packs counts packs', () => {
  const progress = { phase: 'verifying', packs: 1, totalPacks: 4, bytes: 2 ** 20, bytesPerSecond: 0 };
  assert.equal(progressText(progress, 120), 'verifying  [#####---------------]  25%  1.0 MiB  1 of 4 packs');
});

test('the line fits into the terminal and no name can leave it', () => {
  const progress = {
    phase: 'backing up uploads',
    bytes: 3 * 2 ** 20,
    totalBytes: 6 * 2 ** 20,
    entries: 1234,
    bytesPerSecond: 2 ** 20,
    leftMs: 3_400,
  };
  assert.equal(
    progressText(progress, 120),
    'backing up uploads  [##########----------]  50%  3.0 MiB of 6.0 MiB  1.0 MiB/s  3.0 s left  1,234 entries',
  );
  assert.equal(progressText(progress, 40).length, 39);
  assert.equal(progressText({ phase: 'a\nb', bytes: 0, bytesPerSecond: 0 }, 80), 'a\\x0ab');
});
