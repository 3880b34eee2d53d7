import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { lstatSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import fc from 'fast-check';
import { must } from '../../core/must.ts';
import type { Content, Extent } from '../../core/recorder.ts';
import { bytesOf, NEVER, readerOf, recordStore, SMALL } from '../../testing/pipeline-fixture.ts';
import type { StoreRecord } from '../../testing/pipeline-fixture.ts';
import { temporaryFolder } from '../../testing/tree/temporary-folder.ts';
import { openBlock } from './block.ts';
import { createInPlaceEngine } from './in-place-engine.ts';
import { createWorkerEngine } from './worker-engine.ts';

/** A source for both engines, and what must come out: the content, or a failure that matches. */
type Sample = { readonly name: string; readonly content?: Content | undefined; readonly expected: Uint8Array | RegExp };

const { capacityBytes } = SMALL;
const SIZES = [
  0,
  1,
  511,
  512,
  513,
  1024,
  2048,
  4095,
  4096,
  4097,
  8191,
  8192,
  8193,
  20_000,
  capacityBytes - 1,
  capacityBytes,
  capacityBytes + 1,
  3 * capacityBytes + 77,
];

function fileContent(
  path: string,
  state: Partial<Extract<Content, { kind: 'file' }>['state']> = {},
): Extract<Content, { kind: 'file' }> {
  const stats = lstatSync(path, { bigint: true });
  return {
    cut: 'stream',
    kind: 'file',
    path: Buffer.from(path),
    state: {
      sizeBytes: Number(stats.size),
      mtimeNs: stats.mtimeNs,
      ctimeNs: stats.ctimeNs,
      inode: stats.ino,
      ...state,
    },
  };
}

function wholeFiles(folder: string): Sample[] {
  return SIZES.flatMap((size) =>
    [false, true].map((text) => {
      const name = `${folder}/${text ? 'text' : 'data'}-${size}`;
      const expected = bytesOf(`${size}`, size, text);
      writeFileSync(name, expected);
      return {
        name,
        content: { ...fileContent(name), cut: text ? ('pages' as const) : ('stream' as const) },
        expected,
      };
    }),
  );
}

function sparseFiles(folder: string): Sample[] {
  const path = `${folder}/sparse`;
  const bytes = bytesOf('sparse', 200_000);
  writeFileSync(path, bytes);
  const layouts: readonly (readonly Extent[])[] = [
    [],
    [{ offset: 100, sizeBytes: 5000 }],
    [
      { offset: 0, sizeBytes: 1 },
      { offset: 4096, sizeBytes: 50_000 },
      { offset: 60_000, sizeBytes: 3 },
      { offset: 70_000, sizeBytes: 130_000 },
    ],
    Array.from({ length: 300 }, (_, index) => ({ offset: index * 600, sizeBytes: 1 + (index % 257) })),
  ];
  return layouts.map((extents, index) => ({
    name: `${path} ${index}`,
    content: { ...fileContent(path), extents, cut: index % 2 === 0 ? 'stream' : 'pages' },
    expected: Buffer.concat(extents.map(({ offset, sizeBytes }) => bytes.subarray(offset, offset + sizeBytes))),
  }));
}

/** Files that are not as they were described. */
function changedFiles(folder: string): Sample[] {
  const small = `${folder}/changed`;
  const large = `${folder}/changed-large`;
  const link = `${folder}/link`;
  writeFileSync(small, bytesOf('changed', 3000));
  writeFileSync(large, bytesOf('changed', 100_000));
  symlinkSync(small, link);
  mkdirSync(`${folder}/folder`);
  const missing = { ...fileContent(small), path: Buffer.from(`${folder}/missing`) };
  const tolerant = { tolerant: true } as const;
  const holes = [
    { offset: 100, sizeBytes: 100 },
    { offset: 2500, sizeBytes: 5000 },
    { offset: 8000, sizeBytes: 100 },
  ];
  return [
    { name: 'other time', content: fileContent(small, { mtimeNs: 1n }), expected: /ContentChangedError/ },
    { name: 'other change time', content: fileContent(small, { ctimeNs: 1n }), expected: /ContentChangedError/ },
    { name: 'other inode', content: fileContent(small, { inode: 1n }), expected: /ContentChangedError/ },
    {
      name: 'longer than described',
      content: fileContent(small, { sizeBytes: 2999 }),
      expected: /ContentChangedError/,
    },
    {
      name: 'shorter than described',
      content: fileContent(small, { sizeBytes: 3001 }),
      expected: /ContentChangedError/,
    },
    { name: 'large and shorter', content: fileContent(large, { sizeBytes: 100_001 }), expected: /ContentChangedError/ },
    { name: 'large and changed', content: fileContent(large, { mtimeNs: 1n }), expected: /ContentChangedError/ },
    { name: 'vanished', content: missing, expected: /ENOENT/ },
    { name: 'a link', content: { ...fileContent(small), path: Buffer.from(link) }, expected: /ELOOP/ },
    {
      name: 'a folder',
      content: { ...fileContent(small), path: Buffer.from(`${folder}/folder`) },
      expected: /ContentChangedError/,
    },
    { name: 'below a file', content: { ...fileContent(small), path: Buffer.from(`${small}/x`) }, expected: /ENOTDIR/ },
    {
      name: 'tolerant',
      content: { ...fileContent(small, { mtimeNs: 1n }), ...tolerant },
      expected: bytesOf('changed', 3000),
    },
    {
      name: 'tolerant, longer',
      content: { ...fileContent(small, { sizeBytes: 1500 }), ...tolerant },
      expected: bytesOf('changed', 1500),
    },
    {
      name: 'tolerant, shorter',
      content: { ...fileContent(small, { sizeBytes: 5000 }), ...tolerant },
      expected: bytesOf('changed', 3000),
    },
    {
      name: 'tolerant with holes, emptied',
      content: {
        ...fileContent(small, { sizeBytes: 5000 }),
        ...tolerant,
        extents: [{ offset: 4000, sizeBytes: 1000 }],
      },
      expected: Buffer.alloc(1000),
    },
    {
      name: 'tolerant, large, shorter',
      content: { ...fileContent(large, { sizeBytes: 200_000 }), ...tolerant },
      expected: bytesOf('changed', 100_000),
    },
    {
      name: 'tolerant with holes, shorter',
      content: { ...fileContent(small, { sizeBytes: 9000 }), extents: holes, ...tolerant },
      expected: Buffer.concat([
        bytesOf('changed', 3000).subarray(100, 200),
        bytesOf('changed', 3000).subarray(2500),
        Buffer.alloc(4600),
      ]),
    },
    {
      name: 'tolerant with holes, large, shorter',
      content: {
        ...fileContent(large, { sizeBytes: 300_000 }),
        extents: [{ offset: 0, sizeBytes: 250_000 }],
        ...tolerant,
      },
      expected: Buffer.concat([bytesOf('changed', 100_000), Buffer.alloc(150_000)]),
    },
    { name: 'tolerant, vanished', content: { ...missing, ...tolerant }, expected: /ENOENT/ },
    {
      name: 'tolerant, a folder',
      content: { ...fileContent(small), path: Buffer.from(`${folder}/folder`), ...tolerant },
      expected: /ContentChangedError/,
    },
  ];
}

function readers(): Sample[] {
  const samples = SIZES.flatMap((size) =>
    [1, 700, 40_000]
      .filter((step) => size / step < 300)
      .map((stepBytes): Sample => {
        const expected = bytesOf(`reader ${size}`, size, size % 2 === 0);
        return {
          name: `reader ${size} by ${stepBytes}`,
          content: readerOf(expected, { stepBytes, cut: stepBytes === 700 ? 'pages' : 'stream' }),
          expected,
        };
      }),
  );
  const broken = [0, 1000, 50_000].map((failAt) => ({
    name: `reader that fails at ${failAt}`,
    content: readerOf(bytesOf('broken', 100_000), { stepBytes: 999, failAt }),
    expected: /the reader failed/,
  }));
  const closed: Content = {
    cut: 'stream',
    kind: 'reader',
    open: () => Promise.reject(new Error('it can’t be opened')),
  };
  return [...samples, ...broken, { name: 'closed reader', content: closed, expected: /it can’t be opened/ }];
}

/**
 * The content that an outcome stands for, from the blocks; undefined where the sink knew a chunk already and got no
 * block with it.
 */
function contentOf(record: StoreRecord, outcome: string): Uint8Array | undefined {
  const ids = outcome
    .slice(outcome.lastIndexOf(': ') + 2)
    .split(' ')
    .slice(1)
    .filter((_, index) => index % 2 === 0);
  const chunks = ids.filter((id) => id !== '').map((id) => record.chunks.get(id));
  return chunks.every((chunk) => chunk !== undefined) ? Buffer.concat(chunks) : undefined;
}

function assertComplete(record: StoreRecord, samples: readonly Sample[]): void {
  for (const [id, chunk] of record.chunks) {
    assert.equal(createHmac('sha256', SMALL.keys.chunkKey).update(chunk).digest('hex'), id);
  }
  assert.equal(record.outcomes.length, samples.length);
  for (const [index, { name, expected }] of samples.entries()) {
    const outcome = must(record.outcomes[index], 'there are as many');
    assert.ok(outcome.startsWith(`${name}: `), `${outcome} comes in the place of ${name}`);
    if (expected instanceof RegExp) {
      assert.match(outcome, expected);
      continue;
    }
    assert.ok(outcome.startsWith(`${name}: ${expected.byteLength} `), outcome);
    const content = contentOf(record, outcome);
    if (content !== undefined) assert.ok(Buffer.from(expected).equals(content), name);
  }
}

test('both engines make the same calls with the same bytes, and store each content as it is', async () => {
  await using folder = temporaryFolder();
  await using inPlace = createInPlaceEngine(SMALL);
  await using workers = createWorkerEngine(SMALL);
  const nothing: Sample = { name: 'nothing', expected: Buffer.alloc(0) };
  const all = [
    nothing,
    ...wholeFiles(folder.path),
    ...sparseFiles(folder.path),
    ...changedFiles(folder.path),
    ...readers(),
  ];
  const scenario = fc.record({
    picks: fc.array(fc.nat(all.length - 1), { maxLength: 60 }),
    batchSizes: fc.tuple(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 1, max: 40 })),
    known: fc.constantFrom(0, 64, 250),
  });
  await fc.assert(
    fc.asyncProperty(scenario, async ({ picks, batchSizes, known }) => {
      const samples = picks.map((pick) => must(all[pick], 'it is one of them'));
      const sources = samples.map(({ name, content }) => ({ tag: name, content }));
      const knows = (firstByte: number): boolean => firstByte < known;
      const one = await recordStore(inPlace, sources, { batchSize: batchSizes[0], knows });
      const other = await recordStore(workers, sources, { batchSize: batchSizes[1], knows });
      assert.deepEqual(other.claims, one.claims);
      assert.deepEqual(other.blocks, one.blocks);
      assert.deepEqual(other.outcomes, one.outcomes);
      assertComplete(one, samples);
    }),
    { numRuns: 60, examples: [[{ picks: all.map((_, index) => index), batchSizes: [1, 40], known: 0 }]] },
  );
});

test('thousands of small contents go through in their order', async () => {
  await using folder = temporaryFolder();
  await using inPlace = createInPlaceEngine(SMALL);
  await using workers = createWorkerEngine({ ...SMALL, workers: 1 });
  const path = folder.at('small');
  writeFileSync(path, 'small');
  const content = fileContent(path);
  const sources = Array.from({ length: 4500 }, (_, index) => ({
    tag: `${index}`,
    content: index % 3 === 0 ? undefined : content,
  }));
  const one = await recordStore(inPlace, sources, { batchSize: 1000 });
  assert.deepEqual(await recordStore(workers, sources, { batchSize: 1 }), one);
  assert.deepEqual(
    one.outcomes.map((outcome) => outcome.split(':')[0]),
    sources.map(({ tag }) => tag),
  );
  assert.deepEqual([one.claims.length, one.blocks.length], [3000, 1]);
});

test('chunks that belong together are compressed to the same block by both engines', async () => {
  await using inPlace = createInPlaceEngine(SMALL);
  await using workers = createWorkerEngine(SMALL);
  // The threads start with the first content.
  await recordStore(workers, [{ tag: 'first', content: readerOf(bytesOf('first', 10)) }]);
  for (const [sizeBytes, text] of [
    [0, false],
    [300, true],
    [200_000, true],
    [200_000, false],
  ] as const) {
    const chunks = [bytesOf('a', sizeBytes, text), bytesOf('b', sizeBytes, text)];
    const one = await inPlace.compress(chunks, NEVER);
    const other = await workers.compress(chunks, NEVER);
    assert.equal(one.plainBytes, 2 * sizeBytes);
    assert.deepEqual(other, one);
    assert.deepEqual(Buffer.from(openBlock(one.plain)), Buffer.concat(chunks));
  }
});
