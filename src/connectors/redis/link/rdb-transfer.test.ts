import assert from 'node:assert/strict';
import { test } from 'node:test';
import { must } from '../../../core/must.ts';
import { createSeededRandom } from '../../../flow/random.ts';
import { parseRdbFrame, RdbTransfer } from './rdb-transfer.ts';
import type { RdbFrame } from './rdb-transfer.ts';

const MARK = '0123456789abcdefghijklmnopqrstuvwxyzABCD';

function receive(frame: RdbFrame, wire: Buffer, cut: (left: number) => number) {
  const transfer = new RdbTransfer(frame);
  const pieces: Buffer[] = [];
  let at = 0;
  while (transfer.rest === undefined && at < wire.byteLength) {
    const sizeBytes = cut(wire.byteLength - at);
    pieces.push(...transfer.push(wire.subarray(at, at + sizeBytes)));
    at += sizeBytes;
  }
  const rest = Buffer.concat([must(transfer.rest, 'an end'), wire.subarray(at)]);
  return { rdb: Buffer.concat(pieces).toString('latin1'), rest: rest.toString('latin1') };
}

test('a master announces an RDB by its length or by a mark', () => {
  assert.deepEqual(parseRdbFrame('$1234'), { sizeBytes: 1234 });
  assert.deepEqual(parseRdbFrame(`$EOF:${MARK}`), { mark: Buffer.from(MARK) });
  for (const line of ['', '$', '$-1', '$EOF:short', '+OK', '$12x']) assert.equal(parseRdbFrame(line), undefined, line);
});

test('an RDB ends where its length or its mark says, in whatever pieces it comes', () => {
  for (let seed = 0; seed < 500; seed++) {
    const random = createSeededRandom(`transfer ${seed}`);
    // Much that looks like the beginning of the mark.
    const parts = Array.from({ length: random.integer(12) }, () =>
      random.chance(0.6)
        ? MARK.slice(0, random.integer(40))
        : Buffer.from(random.bytes(random.integer(90))).toString('latin1'),
    );
    const rdb = parts.join('');
    const rest = 'x'.repeat(random.integer(100));
    const most = random.pick([1, 7, 39, 40, 41, 200, 5_000]);
    const cut = (left: number): number => 1 + random.integer(Math.min(left, most));
    const bytes = (text: string): Buffer => Buffer.from(text, 'latin1');
    const marked = receive({ mark: Buffer.from(MARK) }, bytes(`${rdb}${MARK}${rest}`), cut);
    assert.deepEqual(marked, { rdb, rest }, `seed ${seed}, by a mark`);
    if (rdb === '') continue;
    const counted = receive({ sizeBytes: rdb.length }, bytes(`${rdb}${rest}`), cut);
    assert.deepEqual(counted, { rdb, rest }, `seed ${seed}, by its length`);
  }
});
