import assert from 'node:assert/strict';
import { comparePositions } from '../../core/position.ts';
import type { Position } from '../../core/position.ts';
import type { Base, Entry } from '../../core/recorder.ts';
import { recordInMemory } from '../tree/memory-base.ts';
import type { MemoryBase } from '../tree/memory-base.ts';
import { assertHoldsAll, editAtRandom, randomOf, randomValue, recordAll } from './check.ts';
import type { Model, RecorderCheck, RecorderCheckContext } from './check.ts';

const ROUNDS = 5;

async function saysWhatItIs({ fixture, traits }: RecorderCheckContext): Promise<void> {
  await using recorder = await fixture.open();
  assert.equal(recorder.exact, traits.exact);
  assert.ok(recorder.lineage.id.length > 0, 'a lineage has an id');
}

async function goesOn(context: RecorderCheckContext): Promise<void> {
  const { fixture } = context;
  const random = randomOf(context, 'positions');
  let last: MemoryBase | undefined;
  for (let round = 0; round < ROUNDS; round++) {
    await editAtRandom(context, new Map(), { random, count: 3 });
    await fixture.put('mark', `round ${round}`);
    const base = await recordAll(context, last);
    const { logFrom, cut } = base.end;
    await using recorder = await fixture.open(cut);
    assert.equal(recorder.lineage.id, cut.lineage, 'the lineage goes on from a position of it');
    assert.ok(orderOf(logFrom, cut) <= 0, 'the log is needed from before the cut');
    if (last !== undefined) assert.ok(orderOf(last.end.cut, cut) < 0, 'a base after a change has a later cut');
    last = base;
  }
}

function orderOf(left: Position, right: Position): number {
  const order = comparePositions(left, right);
  assert.ok(order !== undefined, 'positions of one history have one lineage');
  return order;
}

async function holdsAll(context: RecorderCheckContext): Promise<void> {
  const random = randomOf(context, 'edits');
  const model: Model = new Map();
  const bases: { readonly base: MemoryBase; readonly expected: ReadonlyMap<string, string> }[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    if (round > 0) await editAtRandom(context, model, { random, count: 20 });
    if (random.chance(0.3)) await context.fixture.settle?.();
    bases.push({ base: await recordAll(context, bases.at(-1)?.base), expected: new Map(model) });
  }
  for (const { base, expected } of bases) assertHoldsAll(await context.fixture.restored(base, context.run), expected);
}

/** What is not touched meanwhile is in it, and what is, as it was at some time in between; the next base has it all. */
async function holdsThroughChanges(context: RecorderCheckContext): Promise<void> {
  const { fixture, run } = context;
  const random = randomOf(context, 'meanwhile');
  const model: Model = new Map();
  await editAtRandom(context, model, { random, count: 60 });
  const possible = new Map([...model].map(([key, value]) => [key, new Set<string | undefined>([value])]));
  const change = async (): Promise<void> => {
    const key = `k${random.integer(40)}`;
    const value = random.chance(0.3) ? undefined : randomValue(random);
    await fixture.put(key, value);
    const known = possible.get(key) ?? new Set<string | undefined>([undefined]);
    possible.set(key, known.add(value));
    if (value === undefined) model.delete(key);
    else model.set(key, value);
  };
  await using recorder = await fixture.open();
  await using base = await recorder.openBase(run);
  const first = await recordInMemory(changing(base, change), run);
  const found = await fixture.restored(first, run);
  for (const [key, values] of possible) assert.ok(values.has(found.get(key)), `${key} is as it was at some time`);
  for (const key of found.keys()) assert.ok(possible.has(key), `${key} was there at some time`);
  const second = await recordAll(context, first);
  assertHoldsAll(await fixture.restored(second, run), model);
}

/** Things change whenever the reader has something in hand. */
function changing(base: Base, change: () => Promise<void>): Base {
  return {
    entries: changingBatches(base, change),
    retry: async (entry, cause, run) => {
      await change();
      return await base.retry(entry, cause, run);
    },
    finish: (run) => base.finish(run),
    [Symbol.asyncDispose]: () => base[Symbol.asyncDispose](),
  };
}

async function* changingBatches(base: Base, change: () => Promise<void>): AsyncGenerator<readonly Entry[]> {
  for await (const batch of base.entries) {
    for (const entry of batch) {
      await change();
      yield [entry];
    }
  }
}

async function sharesTheStore(context: RecorderCheckContext): Promise<void> {
  const { fixture, run } = context;
  const model: Model = new Map();
  await editAtRandom(context, model, { random: randomOf(context, 'two'), count: 40 });
  const both = await Promise.all([recordAll(context), recordAll(context)]);
  for (const base of both) assertHoldsAll(await fixture.restored(base, run), model);
}

export const historyChecks: readonly RecorderCheck[] = [
  { title: 'a recorder is as exact as it is registered', verify: saysWhatItIs },
  { title: 'positions go on in one lineage, from recorder to recorder', verify: goesOn },
  { title: 'each base between random edits restores to what was there', verify: holdsAll },
  {
    title: 'what changes while a base is recorded is in it before or after, the rest exactly',
    verify: holdsThroughChanges,
  },
  { title: 'two recorders at once do not disturb each other', verify: sharesTheStore },
];
