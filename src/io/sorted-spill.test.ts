import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { SortedSpill } from './sorted-spill.ts';

for (const memoryBytes of [1_000, undefined]) {
  test(`records come back by ascending key, ${memoryBytes === undefined ? 'from memory' : 'from a file'}, and nothing stays`, () => {
    const temporaryFolder = mkdtempSync(join(tmpdir(), 'tidemark-spill-test-'));
    try {
      const spill = new SortedSpill({ temporaryFolder, memoryBytes });
      const keys = Array.from({ length: 2_000 }, (_, index) => Buffer.from(`${(index * 7919) % 2_000} \u00ff`));
      const valueOf = (key: Buffer): Buffer => Buffer.concat([Buffer.from('value of '), key]);
      for (const key of keys) spill.put(key, valueOf(key));
      const found = [...spill.ascending()].map(({ key, value }) => [Buffer.from(key), Buffer.from(value)] as const);
      assert.deepEqual(
        found.map(([key]) => key),
        keys.toSorted(Buffer.compare),
      );
      assert.ok(found.every(([key, value]) => value.equals(valueOf(key))));
      spill[Symbol.dispose]();
      assert.deepEqual(readdirSync(temporaryFolder), []);
    } finally {
      rmSync(temporaryFolder, { recursive: true, force: true });
    }
  });
}
