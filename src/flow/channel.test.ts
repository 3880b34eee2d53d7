import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { BugError } from '../core/must.ts';
import type { Run } from '../core/run.ts';
import { createChannel } from './channel.ts';
import type { Channel } from './channel.ts';
import { createVirtualClock } from './virtual-clock.ts';

const open = (highBytes: number): Channel<number> => createChannel<number>({ sizeOf: (item) => item, highBytes });

async function drain(channel: Channel<number>, run: Run): Promise<number[]> {
  const items: number[] = [];
  for await (const batch of channel.receive(run)) items.push(...batch);
  return items;
}

const reason = new Error('enough');

test('everything arrives in order, and no more is held than the bound or one larger item', async () => {
  const step = fc.record({ sizeBytes: fc.integer({ min: 1, max: 150 }), sendMs: fc.nat(3), workMs: fc.nat(3) });
  const marks = fc.record({ highBytes: fc.integer({ min: 1, max: 200 }), low: fc.nat(100), batch: fc.nat(100) });
  await fc.assert(
    fc.asyncProperty(marks, fc.array(fc.array(step, { maxLength: 15 }), { maxLength: 3 }), async (bounds, senders) => {
      const { highBytes, low, batch: batchShare } = bounds;
      const clock = createVirtualClock(0);
      const { signal } = new AbortController();
      const run: Run = { signal };
      type Item = { readonly sizeBytes: number; readonly workMs: number; readonly turn: number };
      const channel = createChannel<Item>({
        sizeOf: ({ sizeBytes }) => sizeBytes,
        highBytes,
        lowBytes: (highBytes * low) / 100,
        batchBytes: (highBytes * batchShare) / 100,
      });
      let turns = 0;
      const send = async (steps: (typeof senders)[number]): Promise<void> => {
        for (const { sizeBytes, sendMs, workMs } of steps) {
          await clock.sleep(sendMs, run);
          await channel.send({ sizeBytes, workMs, turn: turns++ }, run);
        }
      };
      const arrived: number[] = [];
      const receive = async (): Promise<void> => {
        for await (const batch of channel.receive(run)) {
          assert.ok(batch.length > 0);
          assert.ok(channel.heldBytes <= highBytes || batch.length === 1, `${channel.heldBytes} of ${highBytes}`);
          for (const { workMs, turn } of batch) {
            await clock.sleep(workMs, run);
            arrived.push(turn);
          }
        }
      };
      const sending = Promise.all(senders.map(send)).then(() => channel.close());
      await clock.runUntil(Promise.all([sending, receive()]));
      assert.deepEqual(arrived, [...Array(senders.flat().length).keys()]);
      assert.equal(channel.heldBytes, 0);
      assert.equal(getEventListeners(signal, 'abort').length, 0);
    }),
    { numRuns: 200 },
  );
});

test('a sender waits over the high mark and goes on at the low mark', async (t) => {
  const channel = createChannel<number>({ sizeOf: () => 10, highBytes: 40, lowBytes: 10, batchBytes: 10 });
  const iterator = channel.receive(t)[Symbol.asyncIterator]();
  for (let count = 0; count < 4; count += 1) await channel.send(count, t);
  let sent = false;
  const waiting = channel.send(4, t).then(() => {
    sent = true;
  });
  const heldAfterTaking: number[] = [];
  for (let count = 0; count < 4; count += 1) {
    await iterator.next();
    heldAfterTaking.push(channel.heldBytes);
    assert.equal(sent, count === 3, `after ${count + 1} batches`);
  }
  await waiting;
  assert.deepEqual(heldAfterTaking, [40, 30, 20, 20]);
});

test('an item larger than the channel passes alone', async (t) => {
  const channel = open(10);
  await channel.send(1, t);
  const large = channel
    .send(100, t)
    .then(() => channel.send(2, t))
    .then(() => channel.close());
  const batches: (readonly number[])[] = [];
  for await (const batch of channel.receive(t)) batches.push(batch);
  await large;
  assert.deepEqual(batches, [[1], [100], [2]]);
});

test('a failure arrives after what was taken, and at senders at once', async (t) => {
  const channel = open(10);
  await channel.send(10, t);
  const waiting = channel.send(1, t);
  channel.fail(reason);
  channel.fail(new Error('later'));
  channel.close();
  await assert.rejects(waiting, reason);
  await assert.rejects(channel.send(1, t), reason);
  const iterator = channel.receive(t)[Symbol.asyncIterator]();
  assert.deepEqual(await iterator.next(), { done: false, value: [10] });
  await assert.rejects(iterator.next(), reason);
  assert.deepEqual(await iterator.next(), { done: true, value: undefined });
});

test('a failure wakes a receiver that waits', async (t) => {
  const channel = open(10);
  const items = drain(channel, t);
  channel.fail(reason);
  await assert.rejects(items, reason);
});

test('an abort drops what was taken and reaches both ends at once', async (t) => {
  const channel = open(10);
  await channel.send(10, t);
  const waiting = channel.send(1, t);
  channel.abort(reason);
  channel.abort(new Error('later'));
  await assert.rejects(waiting, reason);
  await assert.rejects(drain(channel, t), reason);
  assert.equal(channel.heldBytes, 0);
});

test('a receiver that leaves early sends every sender away', async (t) => {
  const channel = open(10);
  await channel.send(10, t);
  const waiting = channel.send(1, t);
  for await (const batch of channel.receive(t)) {
    assert.deepEqual(batch, [10]);
    break;
  }
  await assert.rejects(waiting, /has left/);
  await assert.rejects(channel.send(1, t), /has left/);
  assert.equal(channel.heldBytes, 0);
});

test('a receiver whose run aborts ends with the reason, and the senders too', async (t) => {
  const controller = new AbortController();
  const channel = open(10);
  const items = drain(channel, { signal: controller.signal });
  controller.abort(reason);
  await assert.rejects(items, reason);
  await assert.rejects(channel.send(1, t), reason);
  assert.equal(getEventListeners(controller.signal, 'abort').length, 0);
});

test('a sender that gives up has sent nothing and lets the next one pass', async (t) => {
  const controller = new AbortController();
  const channel = open(10);
  await channel.send(6, t);
  const given = channel.send(8, { signal: controller.signal });
  const next = channel.send(4, t).then(() => channel.close());
  controller.abort(reason);
  await assert.rejects(given, reason);
  await assert.rejects(channel.send(1, { signal: controller.signal }), reason);
  assert.deepEqual(await drain(channel, t), [6, 4]);
  await next;
  assert.equal(getEventListeners(controller.signal, 'abort').length, 0);
});

test('wrong use is a bug: sending after the close, closing over a sender, a second receiver, no size', async (t) => {
  const channel = open(10);
  await assert.rejects(channel.send(0, t), BugError);
  await channel.send(10, t);
  const waiting = channel.send(1, t);
  assert.throws(() => channel.close(), BugError);
  assert.deepEqual((await channel.receive(t)[Symbol.asyncIterator]().next()).value, [10]);
  assert.throws(() => channel.receive(t)[Symbol.asyncIterator](), BugError);
  channel.abort(reason);
  await assert.rejects(waiting, reason);

  const closed = open(10);
  closed.close();
  closed.close();
  await assert.rejects(closed.send(1, t), BugError);
});
