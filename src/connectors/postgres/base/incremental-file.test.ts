import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isTidemarkError } from '../../../core/errors.ts';
import { readIncrementalHeader, reconstruct, wholeLabel, wholePath } from './incremental-file.ts';
import type { IncrementalHeader } from './incremental-file.ts';

const BLOCK = 8_192;
const SHAPE = { blockBytes: BLOCK, blocksPerFile: 131_072 };

type Written = {
  readonly blocks: readonly number[];
  readonly leastBlocks?: number;
  readonly magic?: number;
  readonly count?: number;
  /** More, or fewer, than there should be. */
  readonly extraBytes?: number;
};

async function read(written: Written): Promise<{ readonly header: IncrementalHeader; readonly readBytes: number }> {
  const { blocks, leastBlocks = 10, magic = 0xd3ae1f0d, count = blocks.length, extraBytes = 0 } = written;
  const numbers = Buffer.alloc(12 + blocks.length * 4);
  const written32 = [magic, count, leastBlocks, ...blocks];
  for (const [index, number] of written32.entries()) numbers.writeUInt32LE(number, index * 4);
  const padding = blocks.length === 0 ? 0 : (BLOCK - (numbers.byteLength % BLOCK)) % BLOCK;
  const head = Buffer.concat([numbers, Buffer.alloc(padding)]);
  const sizeBytes = head.byteLength + blocks.length * BLOCK + extraBytes;
  let at = 0;
  const take = async (wanted: number): Promise<Buffer> => {
    assert.ok(at + wanted <= sizeBytes, 'no more is asked for than there is');
    const piece = Buffer.alloc(wanted);
    head.copy(piece, 0, at, at + wanted);
    at += wanted;
    return piece;
  };
  const header = await readIncrementalHeader(take, { path: 'base/5/INCREMENTAL.1', sizeBytes, shape: SHAPE });
  return { header, readBytes: at };
}

test('the head of a file of changes is read up to its blocks', async () => {
  assert.deepEqual(await read({ blocks: [] }), { header: { blocks: [], leastBlocks: 10 }, readBytes: 12 });
  assert.deepEqual(await read({ blocks: [0, 7, 131_071], leastBlocks: 0 }), {
    header: { blocks: [0, 7, 131_071], leastBlocks: 0 },
    readBytes: BLOCK,
  });
  const many = Array.from({ length: 3_000 }, (_, index) => index * 3);
  const { header, readBytes } = await read({ blocks: many });
  assert.deepEqual(header.blocks, many);
  assert.equal(readBytes, 2 * BLOCK);
  const full = Array.from({ length: (BLOCK - 12) / 4 }, (_, index) => index);
  assert.equal((await read({ blocks: full })).readBytes, BLOCK, 'a head that needs no filling');
});

test('a head that no server writes is told, before anything of it is believed', async () => {
  const wrong: readonly Written[] = [
    { blocks: [1], magic: 0xd3ae1f0e },
    { blocks: [1], count: 0xffff_ffff },
    { blocks: [1], count: 2 },
    { blocks: [1], count: 0 },
    { blocks: [1], leastBlocks: 131_073 },
    { blocks: [1], extraBytes: 1 },
    { blocks: [1], extraBytes: -1 },
    { blocks: [], extraBytes: -1 },
    { blocks: [], extraBytes: 8_192 },
    { blocks: [2, 1] },
    { blocks: [1, 1] },
    { blocks: [131_072] },
    { blocks: [0xffff_ffff] },
  ];
  for (const written of wrong) {
    await assert.rejects(
      read(written),
      (error) => isTidemarkError(error, 'STORE_UNREACHABLE'),
      JSON.stringify(written),
    );
  }
});

test('a file is the earlier one up to its least length, what came, and zeros', () => {
  const of = (blocks: readonly number[], leastBlocks: number, earlierBlocks: number): unknown => {
    const { sizeBytes, keptBytes, extents } = reconstruct({ blocks, leastBlocks }, earlierBlocks * BLOCK, BLOCK);
    const runs = extents.map((extent) => [extent.offset / BLOCK, extent.sizeBytes / BLOCK]);
    return { size: sizeBytes / BLOCK, kept: keptBytes / BLOCK, runs };
  };
  assert.deepEqual(of([], 4, 4), { size: 4, kept: 4, runs: [] }, 'unchanged');
  assert.deepEqual(
    of([1, 2, 5], 6, 6),
    {
      size: 6,
      kept: 6,
      runs: [
        [1, 2],
        [5, 1],
      ],
    },
    'changed',
  );
  assert.deepEqual(of([], 2, 6), { size: 2, kept: 2, runs: [] }, 'cut off');
  assert.deepEqual(of([4, 5], 2, 6), { size: 6, kept: 2, runs: [[4, 2]] }, 'cut off, and extended');
  assert.deepEqual(
    of([7], 8, 3),
    { size: 8, kept: 3, runs: [[7, 1]] },
    'extended, with pages that nothing is known of',
  );
  assert.deepEqual(of([], 0, 3), { size: 0, kept: 0, runs: [] }, 'emptied');
  assert.equal(reconstruct({ blocks: [], leastBlocks: 3 }, 2 * BLOCK + 100, BLOCK).keptBytes, 2 * BLOCK);
});

test('a file of changes is known by its name', () => {
  assert.equal(wholePath('base/5/INCREMENTAL.1259'), 'base/5/1259');
  assert.equal(wholePath('global/INCREMENTAL.1260_vm'), 'global/1260_vm');
  assert.equal(wholePath('pg_tblspc/16384/PG_17_1/5/INCREMENTAL.7.2'), 'pg_tblspc/16384/PG_17_1/5/7.2');
  assert.equal(wholePath('base/5/1259'), undefined);
  assert.equal(wholePath('base/INCREMENTAL.5/1259'), undefined);
});

test('a label loses what makes a server refuse it, and nothing else', () => {
  const lines = [
    'START WAL LOCATION: 0/4000028 (file 000000010000000000000004)\n',
    'LABEL: tidemark\n',
    'START TIMELINE: 1\n',
  ];
  const label = [...lines, 'INCREMENTAL FROM LSN: 0/2000028\n', 'INCREMENTAL FROM TLI: 1\n'].join('');
  assert.equal(wholeLabel(label), lines.join(''));
  assert.equal(wholeLabel(lines.join('')), lines.join(''));
});
