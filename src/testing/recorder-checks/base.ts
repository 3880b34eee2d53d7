import assert from 'node:assert/strict';
import { compareBytes, equalBytes } from '../../core/bytes.ts';
import { ContentChangedError } from '../../core/content-changed.ts';
import { must } from '../../core/must.ts';
import type { Base, BaseEnd, Entry, Recorder } from '../../core/recorder.ts';
import type { Run } from '../../core/run.ts';
import { before, entriesOf, recordAll, textOf } from './check.ts';
import type { RecorderCheck, RecorderCheckContext, RecorderFixture } from './check.ts';

/** More than any recorder tries. */
const MANY_TRIES = 100;
const MOST_SKIPPED_KEPT = 10_000;

async function fill(fixture: RecorderFixture, count: number): Promise<void> {
  for (let index = 0; index < count; index++) await fixture.put(`k${index}`, `value ${index}`);
}

async function ascends(context: RecorderCheckContext): Promise<void> {
  const { fixture, traits, run } = context;
  await fill(fixture, 30);
  await using recorder = await fixture.open();
  await using base = await recorder.openBase(run);
  const found = await entriesOf(base, context);
  const isStream = traits.passesOnce === true;
  const entries = isStream ? found.toSorted((left, right) => compareBytes(left.name, right.name)) : found;
  assert.ok(entries.length > 0, 'a store that holds something has entries');
  assert.equal(base.order ?? 'names', isStream ? 'arrival' : 'names', 'the order is told');
  for (const [index, { name, estimatedBytes }] of entries.entries()) {
    assert.ok(Number.isFinite(estimatedBytes) && estimatedBytes >= 0, `${textOf(name)} has an estimate`);
    if (index === 0) continue;
    const { name: last } = before(entries, index);
    assert.ok(compareBytes(last, name) < 0, `${textOf(last)} before ${textOf(name)}`);
  }
}

async function wantsAll({ fixture, run }: RecorderCheckContext): Promise<void> {
  await fill(fixture, 3);
  await using recorder = await fixture.open();
  await using base = await recorder.openBase(run);
  await assert.rejects(base.finish(run), 'a base without its entries');
}

async function abandons(context: RecorderCheckContext): Promise<void> {
  const { fixture, run } = context;
  await fill(fixture, 5);
  await using recorder = await fixture.open();
  const left = await recorder.openBase(run);
  for await (const _ of left.entries) break;
  await left[Symbol.asyncDispose]();
  await left[Symbol.asyncDispose]();
  await using base = await recorder.openBase(run);
  const names = new Set((await entriesOf(base, context)).map(({ name }) => textOf(name)));
  await base.finish(run);
  const fresh = await recordAll(context);
  for (const { name } of fresh.all) assert.ok(names.has(textOf(name)), `${textOf(name)} is in the base after it`);
}

async function stops(context: RecorderCheckContext): Promise<void> {
  const { fixture, run } = context;
  await fixture.put('k', 'v');
  await using recorder = await fixture.open();
  const reason = new Error('stopped by the suite');
  const stopped: Run = { signal: AbortSignal.abort(reason) };
  const isReason = (error: unknown): boolean => error === reason;
  await assert.rejects(recorder.openBase(stopped), isReason);
  await using base = await recorder.openBase(run);
  const [entry] = await entriesOf(base, context);
  await assert.rejects(base.retry(must(entry, 'an entry'), new ContentChangedError('it changed'), stopped), isReason);
  await assert.rejects(base.finish(stopped), isReason);
}

/** Whoever reads can't loop for ever, and what is left out is told. */
async function givesUp(context: RecorderCheckContext): Promise<void> {
  const { fixture, run } = context;
  await fill(fixture, 3);
  await using recorder = await fixture.open();
  await using base = await recorder.openBase(run);
  const entries = await entriesOf(base, context);
  if (context.traits.passesOnce === true) return await failsWhole(base, entries, context);
  const leftOut: Uint8Array[] = [];
  for (const entry of entries) {
    let current: Entry | undefined = entry;
    for (let tries = 0; current !== undefined; tries++) {
      assert.ok(tries < MANY_TRIES, `${textOf(entry.name)} is given up some time`);
      current = await base.retry(current, new ContentChangedError('it changed'), run);
      if (current !== undefined) assert.ok(equalBytes(current.name, entry.name), 'the name stays');
    }
    leftOut.push(entry.name);
  }
  const end = await base.finish(run);
  assertToldOf(end, leftOut);
}

/** There is no other try, and what is missing may not be left out. */
async function failsWhole(base: Base, entries: readonly Entry[], { run }: RecorderCheckContext): Promise<void> {
  const cause = new ContentChangedError('it changed');
  for (const entry of entries) await assert.rejects(base.retry(entry, cause, run), (error) => error === cause);
}

async function tellsUnreadable(context: RecorderCheckContext): Promise<void> {
  const { fixture, run } = context;
  await fill(fixture, 3);
  await using recorder = await fixture.open();
  await using base = await recorder.openBase(run);
  const entries = await entriesOf(base, context);
  if (context.traits.passesOnce === true) return await failsWhole(base, entries, context);
  const entry = must(entries.at(-1), 'an entry');
  const cause = Object.assign(new Error('EACCES: permission denied'), { code: 'EACCES', syscall: 'open' });
  assert.equal(await base.retry(entry, cause, run), undefined, 'it is not tried for ever');
  assertToldOf(await base.finish(run), [entry.name]);
}

function assertToldOf(end: BaseEnd, names: readonly Uint8Array[]): void {
  assert.ok(end.incompleteCount >= names.length, 'each counts as missing');
  assertCounts(end);
  for (const name of names) {
    const told = end.skipped.some((one) => one.incomplete && equalBytes(one.name, name) && one.message.length > 0);
    assert.ok(told, `${textOf(name)} is told`);
  }
}

function assertCounts({ skipped, skippedCount, incompleteCount }: BaseEnd): void {
  assert.ok(skipped.length <= MOST_SKIPPED_KEPT, 'the list is bounded');
  assert.ok(skippedCount >= skipped.length && incompleteCount <= skippedCount, 'all are counted');
  assert.ok(incompleteCount >= skipped.filter(({ incomplete }) => incomplete).length, 'all that is missing is counted');
}

async function endsClean(context: RecorderCheckContext): Promise<void> {
  await fill(context.fixture, 5);
  const { end } = await recordAll(context);
  assert.deepEqual([end.skippedCount, end.incompleteCount, end.skipped], [0, 0, []]);
}

async function disposes(context: RecorderCheckContext): Promise<void> {
  const { fixture, run } = context;
  await fill(fixture, 3);
  const recorder: Recorder = await fixture.open();
  {
    await using base = await recorder.openBase(run);
    await entriesOf(base, context);
    await base.finish(run);
  }
  await recorder[Symbol.asyncDispose]();
  await recorder[Symbol.asyncDispose]();
}

export const baseChecks: readonly RecorderCheck[] = [
  { title: 'names ascend strictly, over all batches, or come once each', verify: ascends },
  { title: 'a base whose entries were not all pulled can’t be finished', verify: wantsAll },
  { title: 'a base that is left early does not harm the next one', verify: abandons },
  { title: 'a signal that has aborted ends each call with its reason', verify: stops },
  { title: 'an entry that changes each time is given up and told', verify: givesUp },
  { title: 'an entry that can’t be read is told, and makes the base incomplete', verify: tellsUnreadable },
  { title: 'of a base that holds everything nothing is told', verify: endsClean },
  { title: 'a recorder may be disposed twice', verify: disposes },
];
