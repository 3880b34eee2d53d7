import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { countFiles, packFiles, unpackFiles } from './packed-files.ts';
import type { JobFile } from './packed-files.ts';

const size = fc.maxSafeNat();
const path = fc.uint8Array({ minLength: 1, maxLength: 40 });
const runs = fc.array(fc.record({ offset: size, sizeBytes: size }), { maxLength: 4 });
const id = fc.option(fc.nat(2 ** 32 - 2), { nil: undefined });
/** What 64 bits of seconds hold. */
const time = fc.bigInt({ min: -(2n ** 63n) * 1_000_000_000n, max: 2n ** 63n * 1_000_000_000n - 1n });
const finish = fc.record({ uid: id, gid: id, mode: fc.nat(0o7777), mtimeNs: time, atimeNs: time });
const whole = fc.record({
  kind: fc.constant('whole' as const),
  shape: fc.record({ path, fileSizeBytes: size, extents: fc.option(runs, { nil: undefined }), finish }),
});
const part = fc.record({ kind: fc.constant('part' as const), path, runs });
const files = fc.array(fc.record({ fill: fc.oneof(whole, part), candidate: fc.option(path, { nil: undefined }) }));

test('files come out of their columns as they went in', () => {
  fc.assert(
    fc.property(files, (asked: readonly JobFile[]) => {
      const packed = structuredClone(packFiles(asked));
      assert.equal(countFiles(packed), asked.length);
      assert.deepEqual([...unpackFiles(packed)], structuredClone(asked));
    }),
  );
});
