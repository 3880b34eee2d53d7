import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { BaseReader, FileResult, FileTarget } from '../core/restorer.ts';
import { memoryReader } from '../testing/tree/memory-base.ts';
import { expectedTotals } from './store-base.ts';
import { withProgress } from './read-progress.ts';

const run = { signal: new AbortController().signal };

/** A base of 100 bytes in two files, of which the first one's bytes come in steps. */
function steppingBase(steps: readonly number[]): BaseReader {
  return {
    ...memoryReader([]),
    entryCount: 2,
    contentBytes: 100,
    async *extract<Tag>(
      targets: AsyncIterable<readonly FileTarget<Tag>[]>,
      _run: Parameters<BaseReader['extract']>[1],
      onBytes?: (bytes: number) => void,
    ): AsyncGenerator<readonly FileResult<Tag>[]> {
      for await (const batch of targets) {
        for (const step of steps) onBytes?.(step);
        for (const { tag } of batch) yield [{ tag, sizeBytes: 50, reused: false }];
      }
    },
  };
}

async function shownBytes(steps: readonly number[]): Promise<readonly number[]> {
  const shown: number[] = [];
  const progress = { report: ({ bytes }: { readonly bytes: number }) => void shown.push(bytes) };
  const base = withProgress(steppingBase(steps), { phase: 'restoring x', store: 'x', progress });
  const target = { tag: 1 } as FileTarget<number>;
  const targets = (async function* () {
    yield [target, target];
  })();
  for await (const results of base.extract(targets, run)) assert.equal(results.length, 1);
  return shown;
}

test('what is restored is told within a file, and never more than there is', async () => {
  assert.deepEqual(await shownBytes([20, 40, 0, 40]), [0, 20, 60, 100, 100, 100]);
  assert.deepEqual(await shownBytes([80, 80]), [0, 80, 100, 100, 100]);
  assert.deepEqual(await shownBytes([]), [0, 50, 100]);
});

test('a backup expects what the last one had until it has found all there is', () => {
  const found = { entries: 1, bytes: 5, foundEntries: 3, foundBytes: 30 };
  const last = { entries: 2, bytes: 40 };
  assert.deepEqual(expectedTotals({ ...found, foundAll: false }, undefined), {});
  assert.deepEqual(expectedTotals({ ...found, foundAll: false }, last), { totalEntries: 3, totalBytes: 40 });
  assert.deepEqual(expectedTotals({ ...found, foundAll: true }, last), { totalEntries: 3, totalBytes: 30 });
});
