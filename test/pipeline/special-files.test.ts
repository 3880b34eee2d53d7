import assert from 'node:assert/strict';
import { lstatSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { createInPlaceEngine } from '../../src/repository/pipeline/in-place-engine.ts';
import { recordStore, SMALL } from '../../src/testing/pipeline-fixture.ts';
import { makeSpecialFiles } from '../../src/testing/tree/special-files.ts';
import { temporaryFolder } from '../../src/testing/tree/temporary-folder.ts';

test('a fifo, socket or device in the place of a file is told as a change, and nothing waits for it', async () => {
  await using folder = temporaryFolder();
  await using engine = createInPlaceEngine(SMALL);
  const missing: string[] = [];
  await makeSpecialFiles(Buffer.from(folder.path), missing);
  writeFileSync(folder.at('file'), 'text');
  const stats = lstatSync(folder.at('file'), { bigint: true });
  const state = { sizeBytes: 4, mtimeNs: stats.mtimeNs, ctimeNs: stats.ctimeNs, inode: stats.ino };
  const names = ['fifo', 'socket', 'null'].filter((name) => !missing.includes(name));
  assert.ok(names.length > 0);
  for (const tolerant of [false, true]) {
    const sources = names.map((name) => {
      const path = Buffer.from(folder.at(name));
      return { tag: name, content: { cut: 'stream', kind: 'file', path, state, tolerant } } as const;
    });
    const { outcomes } = await recordStore(engine, sources);
    assert.deepEqual(
      outcomes.map((outcome) => outcome.split(' ').slice(0, 2).join(' ')),
      names.map((name) => `${name}: ContentChangedError`),
    );
  }
});
