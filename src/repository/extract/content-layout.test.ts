import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { isTidemarkError } from '../../core/errors.ts';
import { ContentLayout } from './content-layout.ts';

const runLists = fc.array(fc.record({ gap: fc.nat(5), sizeBytes: fc.nat(9) }), { maxLength: 8 }).map((items) => {
  let end = 0;
  return items.map(({ gap, sizeBytes }) => {
    const offset = end + gap;
    end = offset + sizeBytes;
    return { offset, sizeBytes };
  });
});

test('the bytes of a content lie in its runs, one after another, however they are taken', () => {
  fc.assert(
    fc.property(runLists, fc.array(fc.nat(7)), (runs, pieces) => {
      const expected = runs.flatMap(({ offset, sizeBytes }) =>
        Array.from({ length: sizeBytes }, (_, at) => offset + at),
      );
      const layout = new ContentLayout(runs);
      let at = 0;
      for (const sizeBytes of pieces) {
        if (at + sizeBytes > expected.length) {
          assert.throws(
            () => layout.take(sizeBytes),
            (error) => isTidemarkError(error, 'REPOSITORY_DAMAGED'),
          );
          return;
        }
        const taken = layout.take(sizeBytes);
        const bytes = taken.flatMap((run) => Array.from({ length: run.sizeBytes }, (_, each) => run.offset + each));
        assert.deepEqual(bytes, expected.slice(at, at + sizeBytes));
        at += sizeBytes;
        assert.equal(layout.isAtEnd, at === expected.length);
      }
    }),
  );
});

test('without extents the content is the file', () => {
  assert.equal(ContentLayout.of({ fileSizeBytes: 0, extents: undefined }).isAtEnd, true);
  const layout = ContentLayout.of({ fileSizeBytes: 5, extents: undefined });
  assert.deepEqual(layout.take(5), [{ offset: 0, sizeBytes: 5 }]);
  assert.equal(ContentLayout.of({ fileSizeBytes: 5, extents: [] }).isAtEnd, true, 'all of it is a hole');
});
