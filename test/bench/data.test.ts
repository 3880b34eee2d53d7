import { strict as assert } from 'node:assert';
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { constants, zstdCompressSync } from 'node:zlib';
import { compareTrees } from '../../bench/data/compare.ts';
import { contentWriters } from '../../bench/data/content.ts';
import type { ContentKind } from '../../bench/data/content.ts';
import { editBytes, editFiles, undoEdit } from '../../bench/data/edit.ts';
import { generateTree } from '../../bench/data/generate.ts';
import { planTree, STANDARD_TREE } from '../../bench/data/plan.ts';
import type { TreeOptions } from '../../bench/data/plan.ts';
import { bytesBelow, filesBelow } from '../../bench/data/walk.ts';

const SMALL_TREE: TreeOptions = { files: 400, sizeBytes: 12_000_000, seed: 7, shape: 'mixed' };

function temporaryFolder(): Disposable & { readonly path: string } {
  const path = mkdtempSync(join(tmpdir(), 'tidemark-bench-test-'));
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true }) };
}

test('the standard tree has the promised files and bytes, mostly small, with one dump of about 250 MB', () => {
  const plan = planTree(STANDARD_TREE);
  assert.equal(plan.length, 50_000);
  assert.equal(new Set(plan.map((file) => file.path)).size, 50_000);
  assert.equal(
    plan.reduce((sum, file) => sum + file.sizeBytes, 0),
    1_600_000_000,
  );
  assert.ok(plan.filter((file) => file.sizeBytes < 16_384).length > 40_000);
  const large = plan.filter((file) => file.sizeBytes > 1_000_000 && file.kind !== 'dump');
  assert.ok(large.length > 100 && large.every((file) => file.sizeBytes <= 64 * 1_048_576));
  const dumps = plan.filter((file) => file.kind === 'dump');
  assert.ok(dumps.length === 1 && Math.abs((dumps[0]?.sizeBytes ?? 0) - 250e6) < 15e6);
});

test('content compresses with zstd level 1 as its kind does in practice', () => {
  const writers = contentWriters();
  const ranges: Record<ContentKind, readonly [number, number]> = {
    source: [2.8, 3.5],
    text: [2.3, 3],
    records: [2.5, 3.2],
    dump: [2.1, 2.5],
    binary: [1.8, 2.4],
    media: [0.99, 1.01],
  };
  for (const kind of Object.keys(ranges) as ContentKind[]) {
    const content = new Uint8Array(1_048_576);
    writers(kind, 3).fill(content);
    const packed = zstdCompressSync(content, { params: { [constants.ZSTD_c_compressionLevel]: 1 } });
    const factor = content.length / packed.length;
    const [low, high] = ranges[kind];
    assert.ok(factor >= low && factor <= high, `${kind}: ${factor}`);
  }
});

test('content does not depend on the pieces in which it is written', () => {
  const writers = contentWriters();
  for (const kind of ['source', 'binary', 'dump', 'media'] as const) {
    const whole = new Uint8Array(100_000);
    writers(kind, 5).fill(whole);
    const pieces = new Uint8Array(100_000);
    const writer = writers(kind, 5);
    for (const [from, to] of [
      [0, 1],
      [1, 4_097],
      [4_097, 70_000],
      [70_000, 100_000],
    ] as const) {
      writer.fill(pieces.subarray(from, to));
    }
    assert.deepEqual(Buffer.from(pieces), Buffer.from(whole), kind);
  }
});

test('the same options make the same tree, and another seed another one', () => {
  using folder = temporaryFolder();
  const [one, two, other] = ['one', 'two', 'other'].map((name) => join(folder.path, name)) as [string, string, string];
  const summary = generateTree(one, SMALL_TREE);
  generateTree(two, SMALL_TREE);
  generateTree(other, { ...SMALL_TREE, seed: 8 });
  assert.deepEqual(compareTrees(one, two), []);
  assert.notDeepEqual(compareTrees(one, other), []);
  assert.equal(bytesBelow(one), SMALL_TREE.sizeBytes);
  assert.equal(filesBelow(one).length, summary.files);
});

test('a small tree holds only small files, of the promised length together', () => {
  const plan = planTree({ files: 1_000, sizeBytes: 2_048_000, seed: 1, shape: 'small' });
  assert.equal(plan.length, 1_000);
  assert.equal(
    plan.reduce((sum, file) => sum + file.sizeBytes, 0),
    2_048_000,
  );
  assert.ok(plan.every((file) => file.sizeBytes < 65_536));
});

test('editing bytes changes one per cent in place and by insertion, and can be undone', () => {
  using folder = temporaryFolder();
  const [edited, untouched, originals] = ['edited', 'untouched', 'originals'].map((name) =>
    join(folder.path, name),
  ) as [string, string, string];
  generateTree(edited, SMALL_TREE);
  generateTree(untouched, SMALL_TREE);
  const summary = editBytes(edited, { share: 0.01, seed: 1, originals });
  const changed = summary.inPlaceBytes + summary.insertedBytes;
  assert.ok(Math.abs(changed / SMALL_TREE.sizeBytes - 0.01) < 0.001, String(changed));
  assert.ok(Math.min(summary.inPlaceBytes, summary.insertedBytes) > 0.2 * changed);
  assert.equal(bytesBelow(edited), SMALL_TREE.sizeBytes + summary.insertedBytes);
  const differing = filesBelow(edited).filter(
    ({ path }) => !readFileSync(join(edited, path)).equals(readFileSync(join(untouched, path))),
  );
  assert.equal(differing.length, summary.files);
  undoEdit(edited, originals);
  assert.deepEqual(compareTrees(untouched, edited), []);
});

test('editing files touches five per cent of them, of every size', () => {
  using folder = temporaryFolder();
  const [edited, untouched] = ['edited', 'untouched'].map((name) => join(folder.path, name)) as [string, string];
  generateTree(edited, SMALL_TREE);
  generateTree(untouched, SMALL_TREE);
  const summary = editFiles(edited, { share: 0.05, seed: 1 });
  assert.equal(summary.files, SMALL_TREE.files * 0.05);
  const before = new Map(filesBelow(untouched).map(({ path }) => [path, readFileSync(join(untouched, path))]));
  const after = new Map(filesBelow(edited).map(({ path }) => [path, readFileSync(join(edited, path))]));
  const deleted = [...before.keys()].filter((path) => !after.has(path));
  const added = [...after.keys()].filter((path) => !before.has(path));
  const changed = [...after].filter(([path, content]) => before.get(path)?.equals(content) === false);
  assert.deepEqual([deleted.length, added.length, changed.length], [2, 2, 16]);
});

test('comparing trees finds every kind of difference', () => {
  using folder = temporaryFolder();
  const [one, two] = ['one', 'two'].map((name) => join(folder.path, name)) as [string, string];
  for (const root of [one, two]) {
    mkdirSync(join(root, 'folder'), { recursive: true });
    for (const name of ['content', 'folder/length', 'gone', 'mode', 'same', 'time']) {
      writeFileSync(join(root, name), 'abc');
      utimesSync(join(root, name), 1_000, 1_000);
    }
    symlinkSync('same', join(root, 'link'));
  }
  assert.deepEqual(compareTrees(one, two), []);
  writeFileSync(join(two, 'content'), 'abd');
  utimesSync(join(two, 'content'), 1_000, 1_000);
  writeFileSync(join(two, 'folder/length'), 'abcd');
  rmSync(join(two, 'gone'));
  rmSync(join(two, 'link'));
  symlinkSync('mode', join(two, 'link'));
  chmodSync(join(two, 'mode'), 0o600);
  utimesSync(join(two, 'time'), 1_000, 1_001);
  mkdirSync(join(two, 'added'));
  assert.deepEqual(compareTrees(one, two), [
    'content: other content',
    'folder/length: 4 bytes, not 3',
    'gone: missing',
    'link: other content',
    'mode: mode 100600, not 100644',
    'time: time 1001000, not 1000000',
    'added: not in the original',
  ]);
});
