import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { createSeededRandom } from '../../../flow/random.ts';
import { temporaryFolder } from '../../../testing/tree/temporary-folder.ts';
import { agrees, readTail, RunningTail, TAIL_BYTES, tailEnd, writeTail } from './kept-tail.ts';

test('a tail is the end of what passed, however it came', () => {
  const seed = Math.floor(Math.random() * 1e9);
  const random = createSeededRandom(seed);
  for (let round = 0; round < 50; round++) {
    const whole = Buffer.from(random.bytes(1 + random.integer(60_000)));
    const tail = new RunningTail();
    assert.equal(tail.take(), undefined);
    for (let at = 0; at < whole.byteLength; ) {
      const piece = whole.subarray(at, at + 1 + random.integer(20_000));
      tail.push(1_000n + BigInt(at), piece);
      at += piece.byteLength;
    }
    const taken = tail.take();
    assert.ok(taken !== undefined, `seed ${seed}`);
    assert.ok(whole.subarray(-TAIL_BYTES).equals(taken.bytes), `seed ${seed}`);
    assert.equal(tailEnd(taken), 1_000n + BigInt(whole.byteLength), `seed ${seed}`);
  }
});

test('a run agrees with a tail where both have bytes', () => {
  const tail = { start: 100n, bytes: Buffer.from('abcdef') };
  assert.ok(agrees(tail, 90n, Buffer.from('0123456789')));
  assert.ok(agrees(tail, 98n, Buffer.from('xxabc')));
  assert.ok(agrees(tail, 103n, Buffer.from('defgh')));
  assert.ok(agrees(tail, 106n, Buffer.from('zzz')));
  assert.ok(!agrees(tail, 98n, Buffer.from('xxaXc')));
  assert.ok(!agrees(tail, 105n, Buffer.from('Fgh')));
});

test('a tail that was kept is found again', async () => {
  await using folder = temporaryFolder();
  const state = folder.at('history');
  assert.equal(await readTail(state), undefined);
  await writeTail(state, { start: 7n, bytes: Buffer.from('abc') }, (sizeBytes) => randomBytes(sizeBytes));
  const found = await readTail(state);
  assert.equal(found?.start, 7n);
  assert.equal(Buffer.from(found?.bytes ?? []).toString(), 'abc');
});
