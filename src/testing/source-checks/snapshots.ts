import assert from 'node:assert/strict';
import { compareBytes } from '../../core/bytes.ts';
import { EVERYTHING } from '../../core/source.ts';
import { applyChanges, batchesUpTo, isAtLeast, randomOf, scopeOf, snapshotOf, writeAtRandom } from './check.ts';
import type { Model, SourceCheck, SourceCheckContext } from './check.ts';

async function holdsAll(context: SourceCheckContext): Promise<void> {
  const { fixture, run } = context;
  const model: Model = new Map();
  await writeAtRandom(context, model, { random: randomOf(context, 'all'), count: 60 });
  await using source = await fixture.open();
  assert.deepEqual((await snapshotOf(source, run)).model, model);
}

async function ascends(context: SourceCheckContext): Promise<void> {
  const { fixture, run } = context;
  await writeAtRandom(context, new Map(), { random: randomOf(context, 'order'), count: 60 });
  await using source = await fixture.open();
  await using snapshot = await source.openSnapshot(EVERYTHING, run);
  const keys: Uint8Array[] = [];
  for await (const puts of snapshot) keys.push(...puts.map(({ key }) => key.bytes));
  for (const [index, key] of keys.entries()) {
    const before = keys[index - 1];
    if (before !== undefined) assert.ok(compareBytes(before, key) < 0, 'keys ascend strictly');
  }
}

/** Whatever is written while a snapshot is read is in the feed after its cut, and in one of both only. */
async function joinsFeed(context: SourceCheckContext): Promise<void> {
  const { fixture, run } = context;
  const random = randomOf(context, 'join');
  const model: Model = new Map();
  await writeAtRandom(context, model, { random, count: 40 });
  await using source = await fixture.open();
  const before = new Map(model);
  const found: Model = new Map();
  await using snapshot = await source.openSnapshot(EVERYTHING, run);
  await writeAtRandom(context, model, { random, count: 20 });
  for await (const puts of snapshot) {
    applyChanges(found, puts);
    await writeAtRandom(context, model, { random, count: 1 });
  }
  if (source.exact === 'position') assert.deepEqual(found, before, 'a snapshot is of its cut');
  const upTo = await source.head(run);
  for (const { changes } of await batchesUpTo(source, { after: snapshot.cut, upTo }, run)) applyChanges(found, changes);
  assert.deepEqual(found, model);
}

async function keepsScope(context: SourceCheckContext): Promise<void> {
  const { fixture, run } = context;
  const model: Model = new Map();
  await writeAtRandom(context, model, { random: randomOf(context, 'scope'), count: 60 });
  await using source = await fixture.open();
  const inside = [...model].filter(([key]) => key.startsWith('a/'));
  assert.deepEqual((await snapshotOf(source, run, scopeOf('a/'))).model, new Map(inside));
  // Prefixes that lie in one another give each key once.
  await using snapshot = await source.openSnapshot(scopeOf('b/1', 'a/', 'b/', 'a/1'), run);
  let count = 0;
  for await (const puts of snapshot) count += puts.length;
  assert.equal(count, model.size);
}

async function isOfAllBefore(context: SourceCheckContext): Promise<void> {
  const { fixture, run } = context;
  await using source = await fixture.open();
  for (let turn = 0; turn < 20; turn++) {
    await fixture.write([['counter', String(turn)]]);
    const head = await source.head(run);
    const { cut, model } = await snapshotOf(source, run);
    assert.ok(isAtLeast(cut, head), 'a snapshot is not older than the head before it');
    assert.equal(model.get('counter'), String(turn));
  }
}

async function endsEarly(context: SourceCheckContext): Promise<void> {
  const { fixture, run } = context;
  const model: Model = new Map();
  await writeAtRandom(context, model, { random: randomOf(context, 'early'), count: 30 });
  await using source = await fixture.open();
  const left = await source.openSnapshot(EVERYTHING, run);
  for await (const _ of left) break;
  await left[Symbol.asyncDispose]();
  await left[Symbol.asyncDispose]();
  assert.deepEqual((await snapshotOf(source, run)).model, model);
}

async function stops({ fixture }: SourceCheckContext): Promise<void> {
  await using source = await fixture.open();
  const reason = new Error('stopped by the suite');
  const stopped = { signal: AbortSignal.abort(reason) };
  const isReason = (error: unknown): boolean => error === reason;
  await assert.rejects(source.head(stopped), isReason);
  await assert.rejects(source.openSnapshot(EVERYTHING, stopped), isReason);
}

export const snapshotChecks: readonly SourceCheck[] = [
  { title: 'a snapshot holds all that is there', verify: holdsAll },
  { title: 'the keys of a snapshot ascend', verify: ascends },
  { title: 'a snapshot and the feed after its cut join without gap or overlap', verify: joinsFeed },
  { title: 'a snapshot keeps to its scope, each key once', verify: keepsScope },
  { title: 'what anyone could see before is in a snapshot', verify: isOfAllBefore },
  { title: 'a snapshot may be left early, and disposed twice', verify: endsEarly },
  { title: 'a signal that has aborted ends each call with its reason', verify: stops },
];
