import assert from 'node:assert/strict';
import type { Batch, Change } from '../../core/change.ts';
import { must } from '../../core/must.ts';
import type { Position } from '../../core/position.ts';
import { EVERYTHING } from '../../core/source.ts';
import {
  applyChanges,
  batchesUpTo,
  isAtLeast,
  randomOf,
  scopeOf,
  snapshotOf,
  told,
  transactionsOf,
  writeAtRandom,
} from './check.ts';
import type { Model, SourceCheck, SourceCheckContext, Write } from './check.ts';

/** More than a source hands out at a time. */
const MANY = 5_000;

async function comesInOrder(context: SourceCheckContext): Promise<void> {
  const { fixture, run } = context;
  await using source = await fixture.open();
  const after = await source.head(run);
  const model: Model = new Map();
  await writeAtRandom(context, model, { random: randomOf(context, 'order'), count: 80 });
  const batches = await batchesUpTo(source, { after, upTo: await source.head(run) }, run);
  const found: Model = new Map();
  let last = after;
  for (const { changes, commit } of batches) {
    applyChanges(found, changes);
    if (commit === undefined) continue;
    assert.ok(isAtLeast(commit.position, last), 'positions do not go back');
    if (changes.length > 0) assert.ok(!isAtLeast(last, commit.position), 'a change has a position of its own');
    last = commit.position;
  }
  assert.deepEqual(found, model);
}

/** From the position of any commit on, exactly what came after it comes again. */
async function resumes(context: SourceCheckContext): Promise<void> {
  const { fixture, run } = context;
  await using source = await fixture.open();
  const after = await source.head(run);
  await writeAtRandom(context, new Map(), { random: randomOf(context, 'resume'), count: 30 });
  const upTo = await source.head(run);
  const all = withChanges(await batchesUpTo(source, { after, upTo }, run));
  for (const [index, { commit }] of all.entries()) {
    if (commit === undefined || index === all.length - 1) continue;
    await using again = await fixture.open();
    const rest = withChanges(await batchesUpTo(again, { after: commit.position, upTo }, run));
    assert.deepEqual(linesOf(rest), linesOf(all.slice(index + 1)), `after batch ${index}`);
  }
}

function withChanges(batches: readonly Batch[]): readonly Batch[] {
  return batches.filter(({ changes }) => changes.length > 0);
}

function linesOf(batches: readonly Batch[]): readonly string[] {
  return batches.flatMap(({ changes }) => changes.map(told));
}

async function keepsTogether(context: SourceCheckContext): Promise<void> {
  const { fixture, run, traits } = context;
  if (!traits.atomic) return;
  await using source = await fixture.open();
  const after = await source.head(run);
  const written: string[][] = [];
  const random = randomOf(context, 'together');
  for (let turn = 0; turn < 20; turn++) {
    const writes = Array.from(
      { length: 1 + random.integer(9) },
      (_, index): Write => [`k${index}`, `${turn}-${index}`],
    );
    await fixture.write(writes);
    written.push(writes.map(([key, value]) => `${key} = ${value}`));
  }
  const batches = await batchesUpTo(source, { after, upTo: await source.head(run) }, run);
  assert.deepEqual(
    transactionsOf(batches).map((changes) => changes.map(told)),
    written,
  );
}

async function splitsLong(context: SourceCheckContext): Promise<void> {
  const { fixture, run, traits } = context;
  if (!traits.atomic) return;
  await using source = await fixture.open();
  const after = await source.head(run);
  await fixture.write(Array.from({ length: MANY }, (_, index): Write => [`k${index}`, `v${index}`]));
  await fixture.write([['last', 'one']]);
  const batches = await batchesUpTo(source, { after, upTo: await source.head(run) }, run);
  const transactions = transactionsOf(batches);
  assert.deepEqual(
    transactions.map(({ length }) => length),
    [MANY, 1],
  );
  assert.ok(withChanges(batches).length > 2, 'it comes in parts');
}

async function knowsBefore(context: SourceCheckContext): Promise<void> {
  const { fixture, run, traits } = context;
  await using source = await fixture.open();
  assert.deepEqual(source.capabilities, {
    previous: traits.previous,
    created: traits.created,
    atomic: traits.atomic,
  });
  const after = await source.head(run);
  await writeAtRandom(context, new Map(), { random: randomOf(context, 'before'), count: 80 });
  const batches = await batchesUpTo(source, { after, upTo: await source.head(run) }, run);
  const model: Model = new Map();
  for (const { changes } of batches) for (const change of changes) assertBefore(change, model, traits);
}

function assertBefore(change: Change, model: Model, traits: SourceCheckContext['traits']): void {
  const key = Buffer.from(change.key.bytes).toString();
  const before = model.get(key);
  if (traits.previous) {
    const previous = change.previous === undefined ? undefined : Buffer.from(change.previous).toString();
    assert.equal(previous, before, `the value of ${key} before`);
  }
  if (traits.created && change.op === 'put') {
    assert.equal(change.created, before === undefined, `whether ${key} is new`);
  }
  if (change.op === 'delete') assert.notEqual(before, undefined, `${key} was there before it went`);
  applyChanges(model, [change]);
}

async function filters(context: SourceCheckContext): Promise<void> {
  const { fixture, run } = context;
  await using source = await fixture.open();
  const after = await source.head(run);
  await writeAtRandom(context, new Map(), { random: randomOf(context, 'filter'), count: 60 });
  const upTo = await source.head(run);
  const all = linesOf(await batchesUpTo(source, { after, upTo }, run));
  const some = linesOf(await batchesUpTo(source, { after, upTo, scope: scopeOf('a/') }, run));
  assert.deepEqual(
    some,
    all.filter((line) => line.startsWith('a/')),
  );
}

async function coversAll(context: SourceCheckContext): Promise<void> {
  const { fixture, run } = context;
  await using source = await fixture.open();
  for (let turn = 0; turn < 20; turn++) {
    const after = await source.head(run);
    await fixture.write([['counter', String(turn)]]);
    const head = await source.head(run);
    assert.ok(!isAtLeast(after, head), 'the head moves with what is written');
    assert.deepEqual(linesOf(await batchesUpTo(source, { after, upTo: head }, run)), [`counter = ${turn}`]);
  }
}

/** A feed that waits already sees it. */
async function seesOthers(context: SourceCheckContext): Promise<void> {
  const { fixture, run } = context;
  await using source = await fixture.open();
  await using feed = await source.openFeed(EVERYTHING, await source.head(run), run);
  const iterator = feed[Symbol.asyncIterator]();
  const found: Model = new Map();
  for (let turn = 0; turn < 10; turn++) {
    let next = iterator.next();
    await fixture.write([['counter', String(turn)]]);
    for (;;) {
      const result = await next;
      const batches = must(result.done === true ? undefined : result.value, 'a feed that goes on');
      for (const { changes } of batches) applyChanges(found, changes);
      if (found.get('counter') === String(turn)) break;
      next = iterator.next();
    }
  }
}

async function beats(context: SourceCheckContext): Promise<void> {
  const { fixture, run } = context;
  await fixture.write([['k', 'v']]);
  await using source = await fixture.open();
  const head = await source.head(run);
  await using feed = await source.openFeed(EVERYTHING, head, run);
  let beatCount = 0;
  for await (const batches of feed) {
    for (const { changes, commit } of batches) {
      assert.deepEqual(changes, []);
      assert.deepEqual(must(commit, 'a heartbeat is a commit').position, head);
      beatCount++;
    }
    if (beatCount >= 2) return;
  }
}

async function isPatient(context: SourceCheckContext): Promise<void> {
  const { fixture, run } = context;
  await using source = await fixture.open();
  const after = await source.head(run);
  await using feed = await source.openFeed(EVERYTHING, after, run);
  const iterator = feed[Symbol.asyncIterator]();
  const model: Model = new Map();
  await fixture.write([['first', '1']]);
  const found: Model = new Map();
  const read = async (): Promise<void> => {
    const result = await iterator.next();
    if (result.done !== true) for (const { changes } of result.value) applyChanges(found, changes);
  };
  while (!found.has('first')) await read();
  await writeAtRandom(context, model, { random: randomOf(context, 'slow'), count: 300 });
  await fixture.write([['last', '1']]);
  while (!found.has('last')) await read();
  assert.deepEqual(found, new Map([...model, ['first', '1'], ['last', '1']]));
}

async function saysLost({ fixture, run }: SourceCheckContext): Promise<void> {
  await using source = await fixture.open();
  const start = await source.head(run);
  await fixture.write([['k', '1']]);
  await fixture.write([['k', '2']]);
  await assert.rejects(firstOf(source, { ...start, lineage: 'another' }, run), { code: 'POSITION_LOST' });
  if (fixture.compact === undefined) return;
  await fixture.compact();
  const isLost = { code: 'POSITION_LOST', disposition: 'resync' };
  await assert.rejects(firstOf(source, start, run), isLost);
  // Where a resync goes on.
  const { cut, model } = await snapshotOf(source, run);
  assert.deepEqual(model, new Map([['k', '2']]));
  await fixture.write([['k', '3']]);
  const upTo = await source.head(run);
  assert.deepEqual(linesOf(await batchesUpTo(source, { after: cut, upTo }, run)), ['k = 3']);
}

async function firstOf(
  source: Parameters<typeof snapshotOf>[0],
  after: Position,
  run: SourceCheckContext['run'],
): Promise<unknown> {
  await using feed = await source.openFeed(EVERYTHING, after, run);
  return await feed[Symbol.asyncIterator]().next();
}

async function losesWhileReading({ fixture, run }: SourceCheckContext): Promise<void> {
  if (fixture.compact === undefined) return;
  await using source = await fixture.open();
  await using feed = await source.openFeed(EVERYTHING, await source.head(run), run);
  await fixture.write([['k', '1']]);
  await fixture.compact();
  await assert.rejects(feed[Symbol.asyncIterator]().next(), { code: 'POSITION_LOST' });
}

async function stopsWaiting({ fixture, run }: SourceCheckContext): Promise<void> {
  await using source = await fixture.open();
  const controller = new AbortController();
  const reason = new Error('stopped by the suite');
  const inner = { signal: controller.signal };
  const feed = await source.openFeed(EVERYTHING, await source.head(run), inner);
  const waiting = feed[Symbol.asyncIterator]().next();
  controller.abort(reason);
  await assert.rejects(waiting, (error) => error === reason);
  await feed[Symbol.asyncDispose]();
  await feed[Symbol.asyncDispose]();
}

export const feedChecks: readonly SourceCheck[] = [
  { title: 'changes come in the order of their commits, each once', verify: comesInOrder },
  { title: 'after any commit a feed goes on with exactly what came next', verify: resumes },
  { title: 'a transaction is not mixed with others, and its end has the commit', verify: keepsTogether },
  { title: 'a long transaction comes in parts with one commit', verify: splitsLong },
  { title: 'a change knows what was there before it', verify: knowsBefore },
  { title: 'a feed keeps to its scope', verify: filters },
  { title: 'a position that is read covers what was visible before', verify: coversAll },
  { title: 'a feed that waits sees what others write', verify: seesOthers },
  { title: 'an idle store has heartbeats at its head', verify: beats },
  { title: 'who reads slowly misses nothing', verify: isPatient },
  { title: 'a position that can’t be followed on from is lost, and a snapshot starts over', verify: saysLost },
  { title: 'a feed that falls behind what is kept says so', verify: losesWhileReading },
  { title: 'a feed that waits ends with the signal’s reason', verify: stopsWaiting },
];
