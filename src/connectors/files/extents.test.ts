import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Extent } from '../../core/recorder.ts';
import { fewerRuns } from './extents.ts';

const manyRuns = fc
  .array(fc.record({ gap: fc.integer({ min: 1, max: 9 }), sizeBytes: fc.integer({ min: 1, max: 9 }) }), {
    minLength: 1,
    maxLength: 60,
  })
  .map((pieces) => {
    let end = 0;
    return pieces.map(({ gap, sizeBytes }): Extent => {
      const offset = end + gap;
      end = offset + sizeBytes;
      return { offset, sizeBytes };
    });
  });

const endOf = (run: Extent): number => run.offset + run.sizeBytes;
const gapsOf = (runs: readonly Extent[]): number[] =>
  runs.slice(1).map((run, index) => run.offset - endOf(runs[index] ?? run));

test('too many runs of data are joined over the smallest holes, and hold all that they held', () => {
  fc.assert(
    fc.property(manyRuns, fc.integer({ min: 1, max: 60 }), (runs, most) => {
      const fewer = fewerRuns(runs, most);
      assert.equal(fewer.length, Math.min(runs.length, most));
      for (const run of runs) assert.ok(fewer.some((one) => one.offset <= run.offset && endOf(one) >= endOf(run)));
      const largest = gapsOf(runs)
        .toSorted((left, right) => right - left)
        .slice(0, fewer.length - 1);
      assert.deepEqual(
        gapsOf(fewer).toSorted((left, right) => right - left),
        largest,
      );
    }),
  );
});
