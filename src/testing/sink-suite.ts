import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createSeededRandom } from '../flow/random.ts';
import { runSeeded } from './seeded-check.ts';
import { batchOf, deleteOf, MIRROR, positionAt, putOf, resync } from './sink-checks/check.ts';
import type { SinkCheck, SinkCheckContext, SinkFixture } from './sink-checks/check.ts';

export type { SinkCheck, SinkCheckContext, SinkFixture } from './sink-checks/check.ts';

export type SinkSuite = {
  /** Begins the title of each test. */
  readonly name: string;
  /** A fresh, empty store for each test. */
  open(): Promise<SinkFixture>;
  /** Repeats a run; else at random, and told when a test fails. */
  readonly seed?: number | undefined;
};

const isLost = { code: 'POSITION_LOST', disposition: 'resync' };

async function appliesInOrder({ fixture, run, seed }: SinkCheckContext): Promise<void> {
  const random = createSeededRandom(`${seed}/order`);
  const model = new Map<string, string>();
  await using sink = await fixture.open();
  await resync(sink, { puts: [], cut: positionAt(0) }, run);
  for (let count = 1; count <= 60; count++) {
    const key = `k${random.integer(10)}`;
    const value = random.chance(0.3) ? undefined : `v${count}`;
    await sink.apply(MIRROR, batchOf([value === undefined ? deleteOf(key) : putOf(key, value)], count), run);
    if (value === undefined) model.delete(key);
    else model.set(key, value);
  }
  assert.deepEqual(await fixture.read(), model);
  assert.deepEqual(await sink.checkpoint(MIRROR, run), positionAt(60));
}

async function appliesOnce({ fixture, run }: SinkCheckContext): Promise<void> {
  await using sink = await fixture.open();
  await resync(sink, { puts: [putOf('a', '1')], cut: positionAt(1) }, run);
  const batches = [batchOf([putOf('a', '2')], 2), batchOf([deleteOf('a')], 3), batchOf([putOf('b', '1')], 4)];
  for (const batch of batches) await sink.apply(MIRROR, batch, run);
  for (const batch of batches) await sink.apply(MIRROR, batch, run);
  assert.deepEqual(await fixture.read(), new Map([['b', '1']]));
  assert.deepEqual(await sink.checkpoint(MIRROR, run), positionAt(4));
}

async function holdsBackParts({ fixture, run }: SinkCheckContext): Promise<void> {
  await using sink = await fixture.open();
  await resync(sink, { puts: [], cut: positionAt(1) }, run);
  await sink.apply(MIRROR, batchOf([putOf('a', '1')]), run);
  await sink.apply(MIRROR, batchOf([putOf('b', '1')]), run);
  assert.deepEqual([(await fixture.read()).size, await sink.checkpoint(MIRROR, run)], [0, positionAt(1)]);
  await sink.apply(MIRROR, batchOf([putOf('c', '1')], 4), run);
  assert.deepEqual([...(await fixture.read()).keys()].sort(), ['a', 'b', 'c']);
}

/** As after a crash within a transaction: it comes again from its beginning. */
async function forgetsParts({ fixture, run }: SinkCheckContext): Promise<void> {
  {
    await using sink = await fixture.open();
    await resync(sink, { puts: [], cut: positionAt(1) }, run);
    await sink.apply(MIRROR, batchOf([putOf('a', 'of the part')]), run);
  }
  assert.equal((await fixture.read()).size, 0);
  await using sink = await fixture.open();
  assert.deepEqual(await sink.checkpoint(MIRROR, run), positionAt(1));
  await sink.apply(MIRROR, batchOf([putOf('b', 'whole')], 3), run);
  assert.deepEqual(await fixture.read(), new Map([['b', 'whole']]));
}

async function movesCheckpoint({ fixture, run }: SinkCheckContext): Promise<void> {
  await using sink = await fixture.open();
  assert.equal(await sink.checkpoint(MIRROR, run), undefined);
  await resync(sink, { puts: [], cut: positionAt(5) }, run);
  await sink.apply(MIRROR, batchOf([], 9), run);
  await using other = await fixture.open();
  assert.deepEqual(await other.checkpoint(MIRROR, run), positionAt(9));
}

async function wantsResync({ fixture, run }: SinkCheckContext): Promise<void> {
  await using sink = await fixture.open();
  await assert.rejects(sink.apply(MIRROR, batchOf([putOf('a', '1')], 1), run), isLost);
  await resync(sink, { puts: [], cut: positionAt(1) }, run);
  await assert.rejects(sink.apply(MIRROR, batchOf([putOf('a', '1')], 2, 'another'), run), isLost);
  assert.equal((await fixture.read()).size, 0);
  await resync(sink, { puts: [putOf('b', '1')], cut: positionAt(7, 'another') }, run);
  await sink.apply(MIRROR, batchOf([putOf('a', '1')], 8, 'another'), run);
  assert.deepEqual([...(await fixture.read()).keys()].sort(), ['a', 'b']);
}

async function removesUnmentioned({ fixture, run }: SinkCheckContext): Promise<void> {
  for (const key of ['a/old', 'a/same', 'b/other']) await fixture.write(key, 'before');
  await using sink = await fixture.open();
  const puts = [putOf('a/new', '1'), putOf('a/same', 'before'), putOf('a/third', '3')];
  await resync(sink, { puts, cut: positionAt(1), scope: { prefixes: [Buffer.from('a/')] } }, run);
  const expected = [
    ['a/new', '1'],
    ['a/same', 'before'],
    ['a/third', '3'],
    ['b/other', 'before'],
  ] as const;
  assert.deepEqual(await fixture.read(), new Map(expected));
}

async function resyncsWhole({ fixture, run }: SinkCheckContext): Promise<void> {
  await fixture.write('old', '1');
  {
    await using sink = await fixture.open();
    await using going = await sink.beginResync(MIRROR, { prefixes: [Buffer.from('')] }, positionAt(3), run);
    await going.put([putOf('new', '1')], run);
    assert.deepEqual([...(await fixture.read()).keys()], ['old']);
  }
  assert.deepEqual([...(await fixture.read()).keys()], ['old']);
  await using sink = await fixture.open();
  assert.equal(await sink.checkpoint(MIRROR, run), undefined);
}

async function keepsMirrorsApart({ fixture, run }: SinkCheckContext): Promise<void> {
  await using sink = await fixture.open();
  for (const [mirror, count] of [
    ['one', 1],
    ['two', 2],
  ] as const) {
    const scope = { prefixes: [Buffer.from(mirror)] };
    await resync(sink, { mirror, scope, puts: [putOf(`${mirror}/k`, '1')], cut: positionAt(count) }, run);
  }
  assert.deepEqual([...(await fixture.read()).keys()].sort(), ['one/k', 'two/k']);
  assert.deepEqual(await sink.checkpoint('one', run), positionAt(1));
  await sink.apply('two', batchOf([], 9), run);
  assert.deepEqual(await sink.checkpoint('one', run), positionAt(1));
}

async function stops({ fixture, run }: SinkCheckContext): Promise<void> {
  await using sink = await fixture.open();
  await resync(sink, { puts: [], cut: positionAt(1) }, run);
  const reason = new Error('stopped by the suite');
  const stopped = { signal: AbortSignal.abort(reason) };
  const isReason = (error: unknown): boolean => error === reason;
  await assert.rejects(sink.apply(MIRROR, batchOf([putOf('a', '1')], 2), stopped), isReason);
  await assert.rejects(sink.checkpoint(MIRROR, stopped), isReason);
  await assert.rejects(sink.beginResync(MIRROR, { prefixes: [] }, positionAt(2), stopped), isReason);
  assert.equal((await fixture.read()).size, 0);
  await sink[Symbol.asyncDispose]();
  await sink[Symbol.asyncDispose]();
}

/** The contract of `Sink` and `Resync`, a promise each. Every connector with a sink runs all of them. */
export const sinkChecks: readonly SinkCheck[] = [
  { title: 'batches are applied in order', verify: appliesInOrder },
  { title: 'applying twice is applying once', verify: appliesOnce },
  { title: 'what comes in parts is visible at its commit', verify: holdsBackParts },
  { title: 'parts without their commit are forgotten', verify: forgetsParts },
  { title: 'the checkpoint is kept, also where nothing changed', verify: movesCheckpoint },
  { title: 'without a snapshot, or of another lineage, nothing is applied', verify: wantsResync },
  { title: 'a resync removes what it did not mention, within its scope', verify: removesUnmentioned },
  { title: 'a resync becomes visible whole or not at all', verify: resyncsWhole },
  { title: 'mirrors have a checkpoint each', verify: keepsMirrorsApart },
  { title: 'a signal that has aborted ends each call with its reason', verify: stops },
];

/** Opens a fresh store and holds its sink to one promise. Rejects when it breaks it, telling the seed. */
export async function runSinkCheck(check: SinkCheck, suite: SinkSuite, signal: AbortSignal): Promise<void> {
  await runSeeded(suite, (fixture, seed) => check.verify({ fixture, run: { signal }, seed }));
}

/** Registers the conformance suite with `node:test`, a test for each promise. */
export function registerSinkSuite(suite: SinkSuite): void {
  for (const check of sinkChecks) {
    test(`${suite.name}: ${check.title}`, (t) => runSinkCheck(check, suite, t.signal));
  }
}
