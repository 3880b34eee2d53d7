import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isTidemarkError } from '../../core/errors.ts';
import { BugError } from '../../core/must.ts';
import { NEVER } from '../../testing/pipeline-fixture.ts';
import { createWorkerPool } from './worker-pool.ts';

/** Answers each call with its own id as the only byte, once the gate is open; a call without bytes fails. */
const ECHO = `
  import { parentPort, workerData } from 'node:worker_threads';
  const gate = workerData.store.slots[0];
  parentPort.on('message', ({ id, request }) => {
    Atomics.wait(new Int32Array(gate), 0, 0);
    parentPort.postMessage({ id, kind: 'note', value: 'working' });
    if (request.bytes.length === 0) parentPort.postMessage({ id, kind: 'error', error: { kind: 'bug', message: 'empty' } });
    else parentPort.postMessage({ id, kind: 'result', value: request.bytes });
  });
`;

function openPool(count: number) {
  const gate = new SharedArrayBuffer(4);
  const keys = { chunkKey: new Uint8Array(32), gear: new Uint32Array(256) };
  const sizes = { minBytes: 1, averageBytes: 16, maxBytes: 32, pageBytes: 1 };
  const program = new URL(`data:text/javascript,${encodeURIComponent(ECHO)}`);
  const pool = createWorkerPool({ count, setup: { store: { sizes, keys, slots: [gate] } }, program });
  return {
    pool,
    open: () => {
      Atomics.store(new Int32Array(gate), 0, 1);
      Atomics.notify(new Int32Array(gate), 0);
    },
    call: (byte: number, order: number, run = NEVER) => {
      return pool.call('encodeBlock', { request: { bytes: new Uint8Array([byte]) }, order }, run);
    },
    [Symbol.asyncDispose]: async () => await pool[Symbol.asyncDispose](),
  };
}

test('of the jobs that wait the lowest order goes first, and equals in the order of calling', async () => {
  await using gated = openPool(1);
  const done: number[] = [];
  const orders = [9, 9, 5, 7, 3, 5, 3];
  const calls = orders.map(async (order, index) => {
    await gated.call(index, order);
    done.push(index);
  });
  gated.open();
  await Promise.all(calls);
  // The first two are at the worker before the others come.
  assert.deepEqual(done, [0, 1, 4, 6, 2, 5, 3]);
});

test('a job that waits is dropped when its signal aborts, one that runs goes on to its end', async () => {
  await using gated = openPool(1);
  const controller = new AbortController();
  const reason = new Error('enough');
  const running = gated.call(1, 1, controller);
  const second = gated.call(2, 1);
  const waiting = gated.call(3, 1, controller);
  controller.abort(reason);
  await assert.rejects(waiting, reason);
  gated.open();
  assert.deepEqual([...(await running)], [1]);
  assert.deepEqual([...(await second)], [2]);
  await assert.rejects(gated.call(4, 1, controller), reason);
});

test('a job’s error comes to whoever called, and the worker goes on', async () => {
  await using gated = openPool(1);
  gated.open();
  const empty = { request: { bytes: new Uint8Array(0) }, order: 1 };
  await assert.rejects(gated.pool.call('encodeBlock', empty, NEVER), BugError);
  assert.deepEqual([...(await gated.call(8, 1))], [8]);
});

test('workers start when there is work for them', async () => {
  await using gated = openPool(2);
  assert.equal(gated.pool.started, false);
  gated.open();
  await gated.call(1, 1);
  assert.equal(gated.pool.started, true);
});

test('closing the pool ends the jobs, can be repeated, and is the end', async () => {
  const gated = openPool(1);
  const calls = [gated.call(1, 1), gated.call(2, 1), gated.call(3, 1)];
  const ended = Promise.all(calls.map((call) => assert.rejects(call, /the pool of workers was closed/)));
  await gated.pool[Symbol.asyncDispose]();
  await ended;
  await gated.pool[Symbol.asyncDispose]();
  await assert.rejects(gated.call(1, 1), BugError);
});

test('a pool whose worker crashed ends all jobs and takes no more', async () => {
  const program = new URL(`data:text/javascript,${encodeURIComponent(`throw new Error('broken')`)}`);
  await using pool = createWorkerPool({ count: 2, setup: {}, program });
  const job = { request: { bytes: new Uint8Array(1) }, order: 1 };
  const isCrash = (error: unknown): boolean => isTidemarkError(error, 'FAILED');
  await Promise.all(Array.from({ length: 7 }, () => assert.rejects(pool.call('encodeBlock', job, NEVER), isCrash)));
  await assert.rejects(pool.call('encodeBlock', job, NEVER), isCrash);
});
