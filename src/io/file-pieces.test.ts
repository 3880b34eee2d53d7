import assert from 'node:assert/strict';
import { open } from 'node:fs/promises';
import { test } from 'node:test';
import { temporaryFolder } from '../testing/tree/temporary-folder.ts';
import { readFully, writePieces } from './file-pieces.ts';

const run = { signal: new AbortController().signal };

test('pieces of any size and number are written one after another, at the end or from an offset', async () => {
  await using folder = temporaryFolder();
  await using file = await open(folder.at('a'), 'w+');
  const pieces = [
    Buffer.alloc(0),
    ...Array.from({ length: 3_000 }, (_, index) => Buffer.from(`${index} `)),
    Buffer.alloc(9 << 20, 'x'),
    Buffer.alloc(0),
    Buffer.from('end'),
  ];
  const whole = Buffer.concat(pieces);
  await writePieces(file, pieces.slice(0, 10), { run });
  await writePieces(file, pieces.slice(10), { run });
  const found = Buffer.alloc(whole.byteLength + 10);
  assert.equal(await readFully(file, 0, found, run), whole.byteLength);
  assert.ok(found.subarray(0, whole.byteLength).equals(whole));
  await writePieces(file, [Buffer.from('A'), Buffer.from('BC')], { offset: 1 });
  const start = Buffer.alloc(6);
  assert.equal(await readFully(file, 0, start, run), 6);
  assert.equal(start.toString(), '0ABC2 ');
});

test('nothing is written once the run is over', async () => {
  await using folder = temporaryFolder();
  await using file = await open(folder.at('a'), 'w+');
  const over = { signal: AbortSignal.abort(new Error('over')) };
  await assert.rejects(writePieces(file, [Buffer.from('a')], { run: over }), /over/);
  assert.equal(await readFully(file, 0, Buffer.alloc(1), run), 0);
});
