import assert from 'node:assert/strict';
import { test } from 'node:test';
import { must } from '../core/must.ts';
import type { Position } from '../core/position.ts';
import type { Log, LogPiece } from '../core/recorder.ts';
import { createSystemClock } from '../flow/clock.ts';
import { payloadOf, readPayload } from '../repository/format/log-payload.ts';
import { positionAt } from '../testing/repository-fixture.ts';
import { pumpLog } from './log-pump.ts';
import { LogQueue } from './log-queue.ts';
import type { LogBlock } from './log-queue.ts';

const options = { memoryBytes: 1e9, clock: createSystemClock(), onPut: () => undefined };
const run = { signal: new AbortController().signal };
const change = (name: string) => ({ name: Buffer.from(name), removed: true }) as const;

function piece(names: readonly string[], order?: number, lineage = 'fixture'): LogPiece {
  const position: Position = { ...positionAt(order ?? 0), lineage };
  const changes = names.map(change);
  return order === undefined ? { changes } : { changes, commit: { position, atMs: order * 10 } };
}

async function pumped(batches: readonly (readonly LogPiece[])[]): Promise<readonly LogBlock[]> {
  const queue = await LogQueue.open({ ...options, received: positionAt(5) }, run);
  let alive = 0;
  const log: Log = {
    async *[Symbol.asyncIterator]() {
      yield* batches;
    },
    acknowledge: () => undefined,
    [Symbol.asyncDispose]: async () => undefined,
  };
  // Nothing waits: rests between blocks are none of what is tested.
  const clock = { ...createSystemClock(), sleep: async () => undefined };
  await pumpLog(log, { queue, clock, onAlive: () => alive++ }, run);
  assert.equal(alive, batches.length);
  return await queue.first(Number.POSITIVE_INFINITY, run);
}

test('blocks end at commits, follow on each other, and say what is in them', async () => {
  const blocks = await pumped([
    [piece(['a'], 6), piece(['b'])],
    [piece(['c'], 8), piece([], 9)],
    [piece([]), piece([], 9)],
  ]);
  assert.deepEqual(
    blocks.map(({ after, upTo, fromMs, toMs, changes }) => [after.resume, upTo.resume, fromMs, toMs, changes]),
    [['5', '9', 60, 90, 3]],
  );
  const { pieces, after } = must(blocks[0], 'a block');
  const read = [...readPayload(payloadOf(after, [pieces]), 'a payload').pieces];
  assert.deepEqual(
    read.map(({ changes, commit }) => [changes.length, commit?.position.resume]),
    [
      [1, '6'],
      [1, undefined],
      [1, '8'],
      [0, '9'],
    ],
  );
});

test('a large run is cut after a commit', async () => {
  const names = (count: number): readonly string[] => Array.from({ length: count }, () => 'x'.repeat(1000));
  const blocks = await pumped([[piece(names(1100)), piece(['y'], 6), piece(['z'], 7)]]);
  assert.deepEqual(
    blocks.map(({ after, upTo }) => [after.resume, upTo.resume]),
    [
      ['5', '6'],
      ['6', '7'],
    ],
  );
});

test('heartbeats that say nothing new leave no trace', async () => {
  assert.deepEqual(await pumped([[piece([], 5)], [piece([], 5)]]), []);
});

test('a log that goes back, tells of one place twice, or of another lineage is lost', async () => {
  for (const batch of [
    [piece(['a'], 4)],
    [piece(['a'], 5)],
    [piece(['a']), piece([], 5)],
    [piece(['a'], 6), piece(['b'], 6)],
    [piece(['a'], 6, 'other')],
  ]) {
    await assert.rejects(pumped([batch]), { code: 'POSITION_LOST' });
  }
});

test('a transaction that is too large to be recorded ends the history', async () => {
  const large = Array.from({ length: 70 }, () => piece(['x'.repeat(1024 * 1024)]));
  await assert.rejects(pumped([[piece(['a'], 6), ...large, piece([], 7)]]), {
    code: 'POSITION_LOST',
    disposition: 'resync',
  });
  const [block] = await pumped([[...large.slice(0, 60), piece([], 7)]]);
  assert.equal(block?.changes, 60);
});

test('a log that only says that it is there is left once the run has aborted', async () => {
  const queue = await LogQueue.open({ ...options, received: positionAt(5) }, run);
  const stop = new AbortController();
  const reason = new Error('enough');
  let heartbeats = 0;
  const log: Log = {
    async *[Symbol.asyncIterator]() {
      for (;;) {
        if (++heartbeats === 3) stop.abort(reason);
        yield [piece([], 5)];
      }
    },
    acknowledge: () => undefined,
    [Symbol.asyncDispose]: async () => undefined,
  };
  const pumping = pumpLog(log, { queue, clock: createSystemClock(), onAlive: () => undefined }, stop);
  await assert.rejects(pumping, (error) => error === reason);
  assert.equal(heartbeats, 3);
});
