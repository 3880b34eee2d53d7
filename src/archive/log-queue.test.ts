import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { must } from '../core/must.ts';
import { createVirtualClock } from '../flow/virtual-clock.ts';
import { openSpool } from '../io/spool.ts';
import type { Spool } from '../io/spool.ts';
import { positionAt } from '../testing/repository-fixture.ts';
import { temporaryFolder } from '../testing/tree/temporary-folder.ts';
import type { TemporaryFolder } from '../testing/tree/temporary-folder.ts';
import { LogQueue } from './log-queue.ts';
import type { LogBlock } from './log-queue.ts';

const run = { signal: new AbortController().signal };

function block(after: number, upTo: number, sizeBytes = 100): LogBlock {
  const pieces = new Uint8Array(sizeBytes).fill(upTo);
  const positions = { after: positionAt(after), upTo: positionAt(upTo) };
  return { pieces, ...positions, fromMs: after * 1000, toMs: upTo * 1000, changes: upTo - after, packs: [] };
}

function queueOf(
  received: number,
  options: {
    readonly spool?: Spool;
    readonly memoryBytes?: number;
    readonly damages?: string[];
    readonly clock?: { monotonicMs(): number };
  } = {},
) {
  const { spool, memoryBytes = 1e9, damages = [], clock = createVirtualClock(0) } = options;
  const onDamaged = ({ message }: Error): void => void damages.push(message);
  const position = positionAt(received);
  return LogQueue.open({ memoryBytes, clock, received: position, onPut: () => undefined, spool, onDamaged }, run);
}

/** Changes a byte of the last record of the spool's `index`th file. */
function damage(folder: TemporaryFolder, index: number): void {
  const name = must(readdirSync(folder.at('spool')).toSorted()[index], 'a file of the spool');
  const bytes = readFileSync(folder.at('spool', name));
  bytes[bytes.byteLength - 1] = (bytes.at(-1) ?? 0) ^ 1;
  writeFileSync(folder.at('spool', name), bytes);
}

function spoolIn(folder: string, maxBytes = 1e6): Promise<Spool> {
  return openSpool({ folder, maxBytes, random: (size) => randomBytes(size), fileBytes: 1_000 }, run);
}

async function ends(queue: LogQueue, mostBytes = 1e9): Promise<readonly string[]> {
  const blocks = await queue.first(mostBytes, run);
  for (const { pieces, upTo } of blocks) assert.ok(pieces.every((byte) => byte === Number(upTo.resume)));
  return blocks.map(({ after, upTo }) => `${after.resume}-${upTo.resume}`);
}

/** Whether a promise is settled once whoever can has done something. */
async function isSettled(work: Promise<unknown>): Promise<boolean> {
  return await Promise.race([
    work.then(
      () => true,
      () => true,
    ),
    sleep(50).then(() => false),
  ]);
}

test('blocks stay until they are dropped, and are given in order up to a size', async () => {
  const queue = await queueOf(0);
  await queue.put(block(0, 2), run);
  await queue.put(block(2, 3), run);
  assert.deepEqual(await ends(queue), ['0-2', '2-3']);
  assert.deepEqual(await ends(queue, 1), ['0-2'], 'one at least');
  assert.deepEqual([queue.received.resume, queue.sizeBytes, queue.waitingSinceMs], ['3', 200, 0]);
  await queue.drop(1, run);
  assert.deepEqual([await ends(queue), queue.sizeBytes, queue.waitingSinceMs], [['2-3'], 100, 2000]);
  await queue.drop(1, run);
  assert.deepEqual([await ends(queue), queue.sizeBytes, queue.waitingSinceMs], [[], 0, undefined]);
});

test('without a spool whoever puts waits while it is full, until there is room or it gives up', async () => {
  const queue = await queueOf(0, { memoryBytes: 150 });
  await queue.put(block(0, 1, 500), run);
  const stop = new AbortController();
  const waits = queue.put(block(1, 2), run);
  const givesUp = queue.put(block(1, 2), { signal: stop.signal });
  assert.equal(await isSettled(waits), false);
  stop.abort(new Error('enough'));
  await assert.rejects(givesUp, /enough/);
  await queue.drop(1, run);
  await waits;
  assert.deepEqual(await ends(queue), ['1-2']);
});

test('what is in the spool is there after a crash, from where the repository stands on', async () => {
  await using folder = temporaryFolder();
  {
    await using spool = await spoolIn(folder.at('spool'));
    const queue = await queueOf(0, { spool });
    for (let at = 0; at < 6; at++) await queue.put(block(at, at + 1), run);
    // Two of them are in the repository, and nobody could say so any more.
  }
  await using spool = await spoolIn(folder.at('spool'));
  const queue = await queueOf(2, { spool });
  assert.deepEqual(await ends(queue), ['2-3', '3-4', '4-5', '5-6']);
  assert.equal(queue.received.resume, '6');
  await queue.put(block(6, 7), run);
  await queue.drop(5, run);
  assert.ok(readdirSync(folder.at('spool')).length <= 2, 'what the repository has is gone from the spool');
});

test('what does not follow on where the repository stands is left out: a hole, or another lineage', async () => {
  await using folder = temporaryFolder();
  const other = {
    ...block(3, 4),
    after: { ...positionAt(3), lineage: 'other' },
    upTo: { ...positionAt(4), lineage: 'other' },
  };
  {
    await using spool = await spoolIn(folder.at('spool'));
    const queue = await queueOf(1, { spool });
    await queue.put(block(2, 3), run);
    await queue.put(other, run);
  }
  await using spool = await spoolIn(folder.at('spool'));
  const queue = await queueOf(1, { spool });
  assert.deepEqual([await ends(queue), queue.received.resume], [[], '1']);
});

test('what memory has no room for is read from the spool', async () => {
  await using folder = temporaryFolder();
  await using spool = await spoolIn(folder.at('spool'));
  const queue = await queueOf(0, { spool, memoryBytes: 250 });
  for (let at = 0; at < 20; at++) await queue.put(block(at, at + 1), run);
  assert.deepEqual(await ends(queue, 300), ['0-1', '1-2', '2-3']);
  await queue.drop(3, run);
  assert.equal((await ends(queue)).length, 17);
  await queue.drop(17, run);
  assert.deepEqual([await ends(queue), queue.sizeBytes], [[], 0]);
});

test('when the spool is full whoever puts waits, until some of it is in the repository', async () => {
  await using folder = temporaryFolder();
  await using spool = await spoolIn(folder.at('spool'), 3_000);
  const queue = await queueOf(0, { spool });
  let last: Promise<void> = Promise.resolve();
  let count = 0;
  while (await isSettled(last)) {
    last = queue.put(block(count, count + 1), run);
    count++;
  }
  assert.ok(count > 3, `${count} blocks`);
  await queue.drop(count - 1, run);
  await last;
  assert.deepEqual(await ends(queue), [`${count - 1}-${count}`]);
});

test('what is in the spool counts as received, also where its run was aborted meanwhile', async () => {
  await using folder = temporaryFolder();
  await using spool = await spoolIn(folder.at('spool'));
  const queue = await queueOf(0, { spool });
  const stop = new AbortController();
  const put = queue.put(block(0, 1), { signal: stop.signal });
  await Promise.resolve();
  stop.abort(new Error('enough'));
  const [outcome] = await Promise.allSettled([put]);
  assert.equal(queue.received.resume === '1', outcome.status === 'fulfilled');
  assert.equal(spool.lastSequence === 1, outcome.status === 'fulfilled');
});

test('a block that was damaged on the disk ends the history, and what is received after that can be read', async () => {
  await using folder = temporaryFolder();
  await using spool = await spoolIn(folder.at('spool'));
  const options = { spool, memoryBytes: 0 };
  const queue = await queueOf(0, options);
  await queue.put(block(0, 1), run);
  await queue.put(block(1, 2), run);
  damage(folder, 0);
  await assert.rejects(queue.first(1e9, run), { code: 'POSITION_LOST', disposition: 'resync' });
  const damages: string[] = [];
  const next = await queueOf(5, { ...options, damages });
  assert.match(damages.join(), /^[^,]+ is damaged at byte \d+, in record 2$/);
  await next.put(block(5, 6), run);
  assert.deepEqual(await ends(next), ['5-6']);
});

test('after a crash what comes before damage in the spool is there, and the history goes on from it', async () => {
  await using folder = temporaryFolder();
  {
    await using spool = await spoolIn(folder.at('spool'));
    const queue = await queueOf(0, { spool });
    for (let at = 0; at < 20; at++) await queue.put(block(at, at + 1), run);
  }
  damage(folder, 1);
  await using spool = await spoolIn(folder.at('spool'));
  const damages: string[] = [];
  const queue = await queueOf(0, { spool, memoryBytes: 0, damages });
  const reached = Number(queue.received.resume);
  assert.ok(reached > 1 && reached < 20, `${reached} blocks`);
  assert.equal(damages.length, 1);
  await queue.put(block(reached, reached + 1), run);
  const expected = Array.from({ length: reached + 1 }, (_, at) => `${at}-${at + 1}`);
  assert.deepEqual(await ends(queue), expected, 'behind the damage as well');
  await queue.drop(reached + 1, run);
  assert.ok(readdirSync(folder.at('spool')).length <= 1, 'what is damaged is gone with it');
});

/** A store that keeps what is not acknowledged. */
function keeper(isShort = false) {
  return { isShort, onDisk: () => undefined };
}

test('what its store keeps waits in memory alone while the repository takes it', async () => {
  await using folder = temporaryFolder();
  await using spool = await spoolIn(folder.at('spool'));
  const queue = await queueOf(0, { spool });
  for (let at = 0; at < 5; at++) {
    await queue.tend(keeper(), run);
    await queue.put(block(at, at + 1), run);
    assert.deepEqual(await ends(queue), [`${at}-${at + 1}`]);
    await queue.drop(1, run);
  }
  assert.deepEqual([spool.lastSequence, queue.isSpooling, queue.received.resume], [0, false, '5']);
});

for (const [why, memoryBytes, waitMs, store] of [
  ['its store has little room left', 1e9, 0, keeper(true)],
  ['it is too much for the memory', 100, 0, keeper()],
  ['the repository is away for long', 1e9, 5_000, keeper()],
  ['its store keeps nothing', 1e9, 0, undefined],
] as const) {
  test(`what waited in memory goes to the disk when ${why}, and what comes as well while that lasts`, async () => {
    await using folder = temporaryFolder();
    {
      await using spool = await spoolIn(folder.at('spool'));
      let nowMs = 0;
      const queue = await queueOf(0, { spool, memoryBytes, clock: { monotonicMs: () => nowMs } });
      await queue.tend(keeper(), run);
      await queue.put(block(0, 1), run);
      await queue.put(block(1, 2), run);
      assert.equal(spool.lastSequence, 0);
      nowMs += waitMs;
      await queue.tend(store, run);
      assert.deepEqual([spool.lastSequence, queue.isSpooling], [2, true]);
      await queue.put(block(2, 3), run);
      await queue.tend(store, run);
      await queue.drop(1, run);
      await queue.tend(store, run);
      await queue.put(block(3, 4), run);
      assert.deepEqual([spool.lastSequence, queue.isSpooling], [4, true]);
      assert.deepEqual(await ends(queue), ['1-2', '2-3', '3-4']);
    }
    await using spool = await spoolIn(folder.at('spool'));
    const queue = await queueOf(1, { spool });
    assert.deepEqual(await ends(queue), ['1-2', '2-3', '3-4']);
    await queue.drop(3, run);
    await queue.tend(keeper(), run);
    await queue.put(block(4, 5), run);
    assert.deepEqual([spool.lastSequence, queue.isSpooling], [4, false]);
  });
}

test('what gets into the repository while it goes to the disk is not kept there', async () => {
  await using folder = temporaryFolder();
  await using spool = await spoolIn(folder.at('spool'));
  const queue = await queueOf(0, { spool });
  await queue.tend(keeper(), run);
  for (let at = 0; at < 30; at++) await queue.put(block(at, at + 1), run);
  const keeping = queue.keep(run);
  await queue.drop(25, run);
  await keeping;
  assert.deepEqual(await ends(queue), ['25-26', '26-27', '27-28', '28-29', '29-30']);
  await queue.put(block(30, 31), run);
  await queue.drop(6, run);
  assert.ok(readdirSync(folder.at('spool')).length <= 2, 'the rest is gone, too');
});

test('what lies on the disk and what came to lie in memory after it are one history, also after a crash', async () => {
  await using folder = temporaryFolder();
  {
    await using spool = await spoolIn(folder.at('spool'));
    const queue = await queueOf(0, { spool });
    await queue.put(block(0, 1), run);
    await queue.put(block(1, 2), run);
    await queue.tend(keeper(), run);
    await queue.put(block(2, 3), run);
    assert.deepEqual([spool.lastSequence, queue.isSpooling], [2, false]);
    assert.deepEqual(await ends(queue), ['0-1', '1-2', '2-3']);
    await queue.keep(run);
    await queue.tend(keeper(), run);
    await queue.put(block(3, 4), run);
    assert.deepEqual(await ends(queue), ['0-1', '1-2', '2-3', '3-4']);
  }
  await using spool = await spoolIn(folder.at('spool'));
  assert.deepEqual(await ends(await queueOf(0, { spool })), ['0-1', '1-2', '2-3']);
});

test('what does not fit into the spool waits in memory until there is room; nobody waits who leaves', async () => {
  await using folder = temporaryFolder();
  await using spool = await spoolIn(folder.at('spool'), 3_000);
  const queue = await queueOf(0, { spool, memoryBytes: 2_500 });
  await queue.tend(keeper(), run);
  for (let at = 0; at < 60; at++) await queue.put(block(at, at + 1), run);
  await assert.rejects(queue.keep(run), { code: 'SPOOL_FULL' });
  const tended = queue.tend(keeper(), run);
  assert.equal(await isSettled(tended), false);
  assert.equal((await ends(queue)).length, 60);
  await queue.drop(55, run);
  await tended;
  assert.equal((await ends(queue))[0], '55-56');
});
