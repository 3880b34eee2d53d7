import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { must } from '../../core/must.ts';
import type { Run } from '../../core/run.ts';
import { testRun } from '../../testing/chunk-index-fixture.ts';
import { INDEX_RECORD_BYTES, recordField } from '../format/index-object.ts';
import { MemorySource, mergeRecords } from './merge.ts';
import { chooseMerge } from './merge-policy.ts';
import type { RecordSource } from './record-source.ts';

const WINDOW_RECORDS = 50;

/** Sorted records with ids from a small range, so that many are equal. */
function sortedRecords(numbers: readonly (readonly [id: number, pack: number])[]): Uint8Array {
  const records = numbers.map(([id, pack]) => {
    const record = Buffer.alloc(INDEX_RECORD_BYTES);
    // Ids that begin alike are ordered by what follows.
    record.writeUInt32BE(Math.imul(id % 20, 0x01000193) >>> 0, 0);
    record.writeUInt32BE(Math.imul(id, 0x01000193) >>> 0, 4);
    record.writeUInt32BE(id, 28);
    record.writeUInt32LE(pack, recordField.pack);
    return record;
  });
  return Buffer.concat(records.toSorted((left, right) => left.compare(right, 0, 32, 0, 32)));
}

/** Hands out records by windows, and counts what it has handed out and is not through with. */
class WindowedSource implements RecordSource {
  readonly #records: Uint8Array;
  readonly #window = new Uint8Array(WINDOW_RECORDS * INDEX_RECORD_BYTES);
  readonly view = new DataView(this.#window.buffer);
  #next = 0;
  #inWindow = 0;
  offset = 0;

  constructor(records: Uint8Array) {
    this.#records = records;
  }

  advance(): boolean {
    this.offset += INDEX_RECORD_BYTES;
    return this.offset < this.#inWindow;
  }

  async fill(): Promise<boolean> {
    const window = this.#records.subarray(this.#next, this.#next + this.#window.byteLength);
    this.#next += window.byteLength;
    // Whoever still looked at the last window would now see other records.
    this.#window.fill(0xff);
    this.#window.set(window);
    this.#inWindow = window.byteLength;
    this.offset = 0;
    return window.byteLength > 0;
  }

  packNumber(): number {
    return this.view.getUint32(this.offset + recordField.pack, true) + 1000;
  }
}

test('a merge gives every distinct record once, ascending by id, from windows that are overwritten', async () => {
  const records = fc.array(fc.tuple(fc.nat(400), fc.nat(3)), { maxLength: 400 });
  await fc.assert(
    fc.asyncProperty(fc.array(records, { maxLength: 6 }), async (inputs) => {
      const merged: string[] = [];
      for await (const { bytes, count } of mergeRecords(
        inputs.map((input) => new WindowedSource(sortedRecords(input))),
        testRun,
      )) {
        for (let at = 0; at < count; at += 1) {
          merged.push(
            Buffer.from(bytes.subarray(at * INDEX_RECORD_BYTES, (at + 1) * INDEX_RECORD_BYTES)).toString('hex'),
          );
        }
      }
      const expected = new Set<string>();
      for (const [id, pack] of inputs.flat()) {
        const record = Buffer.from(sortedRecords([[id, pack + 1000]]));
        expected.add(record.toString('hex'));
      }
      assert.deepEqual(merged.toSorted(), [...expected].toSorted());
      const ids = merged.map((record) => record.slice(0, 64));
      assert.deepEqual(ids, ids.toSorted());
    }),
    { numRuns: 40 },
  );
});

test('a batch stays small however many records come, also when all have one id', async () => {
  const many = Array.from({ length: 20_000 }, (_, at) => [at, 0] as const);
  const same = Array.from({ length: 5000 }, (_, at) => [7, at] as const);
  let total = 0;
  for (const input of [many, same]) {
    for await (const { bytes, count } of mergeRecords([new MemorySource(sortedRecords(input))], testRun)) {
      assert.ok(bytes.byteLength <= 256 * 1024);
      total += count;
    }
  }
  assert.equal(total, 25_000);
});

test('a merge ends with the reason of its run', async () => {
  const reason = new Error('enough');
  const aborting = new AbortController();
  const source = new WindowedSource(sortedRecords(Array.from({ length: 20_000 }, (_, at) => [at, 0] as const)));
  const checked: RecordSource = {
    get view() {
      return source.view;
    },
    get offset() {
      return source.offset;
    },
    advance: () => source.advance(),
    packNumber: () => source.packNumber(),
    fill: async (run: Run) => {
      run.signal.throwIfAborted();
      return await source.fill();
    },
  };
  await assert.rejects(async () => {
    for await (const _batch of mergeRecords([checked], { signal: aborting.signal })) aborting.abort(reason);
  }, reason);
});

test('a thousand runs of one size are merged into few at the cost of writing each record a few times', () => {
  let runs: number[] = [];
  let written = 0;
  for (let added = 0; added < 1000; added += 1) {
    runs.push(1);
    const chosen = chooseMerge(runs, 6);
    const sum = chosen.reduce((total, at) => total + must(runs[at], 'a run'), 0);
    if (sum > 0) runs = [...runs.filter((_, at) => !chosen.includes(at)), sum];
    written += sum;
  }
  assert.ok(written / 1000 < 8, `${written / 1000} times`);
});

test('few runs are left, and each merge takes the smallest', () => {
  const sizes = fc.array(fc.integer({ min: 1, max: 300 }), { minLength: 1, maxLength: 100 });
  fc.assert(
    fc.property(sizes, fc.integer({ min: 1, max: 8 }), (added, limit) => {
      let runs: number[] = [];
      for (const size of added) {
        runs.push(size);
        const chosen = chooseMerge(runs, limit);
        if (chosen.length === 0) continue;
        const merged = chosen.map((at) => must(runs[at], 'a run'));
        const rest = runs.filter((_, at) => !chosen.includes(at));
        const largest = Math.max(...merged);
        assert.ok(rest.every((other) => other >= largest));
        runs = [...rest, merged.reduce((sum, one) => sum + one, 0)];
        assert.ok(runs.length <= limit);
      }
      assert.equal(
        runs.reduce((sum, one) => sum + one, 0),
        added.reduce((sum, one) => sum + one, 0),
      );
    }),
  );
});
