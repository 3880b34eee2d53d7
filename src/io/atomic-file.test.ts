import assert from 'node:assert/strict';
import { chmodSync, lstatSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { systemCode } from '../core/errors.ts';
import { createSeededRandom } from '../flow/random.ts';
import { temporaryFolder } from '../testing/tree/temporary-folder.ts';
import { createFile, ensureFolder, readSmallFile, replaceFile, syncFolder } from './atomic-file.ts';

const options = { mode: 0o640, random: createSeededRandom('atomic-file').bytes };
const text = (content: string): Uint8Array[] => [Buffer.from(content)];

test('a file has all its parts in order, and the mode that was asked for', async (t) => {
  await using folder = temporaryFolder();
  const path = folder.at('file');
  await fc.assert(
    fc.asyncProperty(fc.array(fc.uint8Array({ maxLength: 50 }), { maxLength: 4 }), async (parts) => {
      await replaceFile(path, parts, options, t);
      assert.deepEqual(readFileSync(path), Buffer.concat(parts));
    }),
    { numRuns: 10 },
  );
  assert.equal(lstatSync(path).mode & 0o777, 0o640);
  assert.deepEqual(readdirSync(folder.path), ['file']);
});

test('of several that create a file at once exactly one does, and nothing is left beside it', async (t) => {
  await using folder = temporaryFolder();
  const path = folder.at('file');
  const contents = Array.from({ length: 8 }, (_, index) => `${index}`.repeat(1000));
  const outcomes = await Promise.allSettled(contents.map((content) => createFile(path, text(content), options, t)));
  const winners = contents.filter((_, index) => outcomes[index]?.status === 'fulfilled');
  assert.equal(winners.length, 1);
  assert.equal(readFileSync(path, 'utf8'), winners[0]);
  for (const outcome of outcomes) {
    if (outcome.status === 'rejected') assert.equal(systemCode(outcome.reason), 'EEXIST');
  }
  assert.deepEqual(readdirSync(folder.path), ['file']);
});

test('a link in the place of a file is replaced, not followed, and is in the way of a new one', async (t) => {
  await using folder = temporaryFolder();
  writeFileSync(folder.at('victim'), 'untouched');
  symlinkSync('victim', folder.at('link'));
  await assert.rejects(createFile(folder.at('link'), text('x'), options, t), { code: 'EEXIST' });
  await replaceFile(folder.at('link'), text('new'), options, t);
  assert.ok(lstatSync(folder.at('link')).isFile());
  assert.equal(readFileSync(folder.at('victim'), 'utf8'), 'untouched');
});

test('what fails or is aborted leaves the old file and nothing else', async () => {
  await using folder = temporaryFolder();
  const path = folder.at('file');
  writeFileSync(path, 'old');
  const controller = new AbortController();
  const reason = new Error('enough');
  const content = function* (): Generator<Uint8Array> {
    yield Buffer.from('new');
    controller.abort(reason);
    yield Buffer.from('newer');
  };
  const parts = { [Symbol.iterator]: content } as unknown as readonly Uint8Array[];
  await assert.rejects(replaceFile(path, parts, options, { signal: controller.signal }), reason);
  assert.equal(readFileSync(path, 'utf8'), 'old');
  assert.deepEqual(readdirSync(folder.path), ['file']);

  mkdirSync(folder.at('in-the-way'));
  const run = { signal: new AbortController().signal };
  await assert.rejects(replaceFile(folder.at('in-the-way'), text('x'), options, run), { code: 'EISDIR' });
  assert.deepEqual(readdirSync(folder.path), ['file', 'in-the-way']);
});

test('folders are created with what is missing above, and existing ones keep their mode', async () => {
  await using folder = temporaryFolder();
  chmodSync(folder.path, 0o755);
  await ensureFolder(folder.at('a', 'b', 'c'), 0o700);
  await ensureFolder(folder.at('a', 'b', 'c'), 0o755);
  await ensureFolder(`${folder.at('a', 'd')}/`, 0o700);
  for (const path of [['a'], ['a', 'b'], ['a', 'b', 'c'], ['a', 'd']]) {
    assert.equal(lstatSync(folder.at(...path)).mode & 0o777, 0o700);
  }
  assert.equal(lstatSync(folder.path).mode & 0o777, 0o755);
  writeFileSync(folder.at('file'), '');
  await assert.rejects(ensureFolder(folder.at('file', 'x'), 0o700), { code: 'ENOTDIR' });
  await assert.rejects(ensureFolder(folder.at('file'), 0o700), { code: 'EEXIST' });
});

test('only a folder is synced as a folder', async () => {
  await using folder = temporaryFolder();
  writeFileSync(folder.at('file'), '');
  await syncFolder(folder.path);
  await assert.rejects(syncFolder(folder.at('file')), { code: 'ENOTDIR' });
  await assert.rejects(syncFolder(folder.at('absent')), { code: 'ENOENT' });
});

test('a small file is read whole up to its bound, and refused above', async () => {
  await using folder = temporaryFolder();
  const path = folder.at('file');
  for (const sizeBytes of [0, 1, 16_383, 16_384, 16_385, 40_000]) {
    const content = Buffer.from(createSeededRandom(sizeBytes).bytes(sizeBytes));
    writeFileSync(path, content);
    assert.deepEqual(Buffer.from(await readSmallFile(path, sizeBytes)), content);
    assert.deepEqual(Buffer.from(await readSmallFile(path, 100_000)), content);
    if (sizeBytes > 0) await assert.rejects(readSmallFile(path, sizeBytes - 1), RangeError);
  }
  await assert.rejects(readSmallFile(folder.path, 10), { code: 'EISDIR' });
});

test('a folder in a place where nothing can be made is an error, not an endless attempt', async () => {
  await assert.rejects(
    ensureFolder('/proc/tidemark-test/deep', 0o700),
    (error: unknown) => systemCode(error) !== undefined,
  );
});
