import assert from 'node:assert/strict';
import { undecodable } from '../../core/entry-check.ts';
import { must } from '../../core/must.ts';
import { createSeededRandom } from '../../flow/random.ts';
import type { Base, Entry } from '../../core/recorder.ts';
import { assertHoldsAll, randomValue, textOf } from '../recorder-checks/check.ts';
import { overlaid } from '../tree/memory-base.ts';
import type { MemoryBase } from '../tree/memory-base.ts';
import { openLog, openObserved, recordWhole } from './check.ts';
import type { ObservationCheck, ObservationCheckContext, Observed } from './check.ts';

const ROUNDS = 8;
/** What is young may be told once more; it does not go on for ever. */
const LOOKS = 5;
const isLost = { code: 'POSITION_LOST', disposition: 'resync' };

/** Edits at random, and remembers what must be there. */
class Application {
  readonly model = new Map<string, string>();
  readonly #context: ObservationCheckContext;
  readonly #random;

  constructor(context: ObservationCheckContext) {
    this.#context = context;
    this.#random = createSeededRandom(`${context.seed}/edits`);
  }

  chance(probability: number): boolean {
    return this.#random.chance(probability);
  }

  async put(key: string, value: string | undefined): Promise<void> {
    await this.#context.fixture.put(key, value);
    if (value === undefined) this.model.delete(key);
    else this.model.set(key, value);
  }

  async edit(count: number): Promise<void> {
    for (let edits = 0; edits < count; edits++) {
      const key = `k${this.#random.integer(30)}`;
      await this.put(key, this.#random.chance(0.3) ? undefined : randomValue(this.#random));
    }
  }

  async assertIsHeldBy({ base }: Pick<Observed, 'base'>): Promise<void> {
    const { fixture, run } = this.#context;
    assertHoldsAll(await fixture.restored(base, run), this.model);
  }
}

async function tellsAll(context: ObservationCheckContext): Promise<void> {
  const application = new Application(context);
  await application.edit(20);
  await using observed = await openObserved(context);
  await observed.observe();
  await application.assertIsHeldBy(observed);
  for (let round = 0; round < ROUNDS; round++) {
    await application.edit(1 + round * 3);
    await application.put('last', `put just before, ${round}`);
    assert.ok(await observed.observe(), 'what was put is told');
    await application.assertIsHeldBy(observed);
    observed.log.acknowledge(observed.base.end.cut);
  }
}

async function decodes(context: ObservationCheckContext): Promise<void> {
  const { connector } = context;
  await using observed = await openObserved(context);
  await new Application(context).edit(20);
  await observed.observe();
  for (const { changes } of observed.told) {
    for (const entry of changes.all) {
      assert.equal(undecodable(connector.checkEntry, entry), undefined, `${textOf(entry.name)} can be decoded`);
    }
  }
}

async function tellsNothing(context: ObservationCheckContext): Promise<void> {
  const application = new Application(context);
  await application.edit(20);
  await using observed = await openObserved(context);
  await context.fixture.settle?.();
  let looks = 0;
  while (await observed.observe()) assert.ok(++looks < LOOKS, 'it comes to rest');
  assert.equal(await observed.observe(), false);
  await application.put('more', 'v');
  assert.ok(await observed.observe());
  await application.assertIsHeldBy(observed);
}

async function tellsAgain(context: ObservationCheckContext): Promise<void> {
  const application = new Application(context);
  await application.put('gone', 'v');
  await using observed = await openObserved(context);
  await observed.observe();
  await application.put('gone', undefined);
  await application.put('new', 'v1');
  for (const drained of [false, true]) {
    await using left = await observed.log.observe(context.run);
    assert.ok(left !== undefined, 'it is told');
    if (drained) await Array.fromAsync(left.entries);
  }
  await application.put('new', 'v2');
  await application.put('newer', 'v');
  assert.ok(await observed.observe());
  await application.assertIsHeldBy(observed);
}

async function recreates(context: ObservationCheckContext): Promise<void> {
  const application = new Application(context);
  await application.put('key', 'before');
  await using observed = await openObserved(context);
  await observed.observe();
  await application.put('key', undefined);
  await application.put('key', 'beyond');
  assert.ok(await observed.observe());
  await application.assertIsHeldBy(observed);
  await application.put('short', 'lived');
  await application.put('short', undefined);
  await observed.observe();
  await application.assertIsHeldBy(observed);
}

async function goesOn(context: ObservationCheckContext): Promise<void> {
  const application = new Application(context);
  await application.edit(20);
  let held: { base: Observed['base']; order: string } | undefined;
  for (let round = 0; round < 4; round++) {
    await using observed = await openObserved(context, held?.base);
    if (held !== undefined) await observed.log.changed(context.run);
    await application.edit(3);
    await observed.observe();
    await application.assertIsHeldBy(observed);
    const { base } = observed;
    if (round > 0) observed.log.acknowledge(base.end.cut);
    // The newest is lost with the process, before the repository has it.
    await application.edit(3);
    await observed.observe();
    const { order } = observed.base.end.cut;
    assert.ok(held === undefined || order > held.order, 'no position is given out twice');
    held = { base, order };
    await application.edit(2);
  }
}

/** A repository may hold more than the position that is gone back to: what was told after it, and bases that saw it. */
async function goesBack(context: ObservationCheckContext): Promise<void> {
  const { run } = context;
  const application = new Application(context);
  await application.edit(20);
  await application.put('back', 'before');
  const beyond: MemoryBase[] = [];
  let held: MemoryBase;
  {
    await using observed = await openObserved(context);
    await observed.observe();
    held = observed.base;
    for (let round = 0; round < 3; round++) {
      await application.edit(5);
      await application.put(`brief${round}`, 'v');
      await application.put('back', `${round}`);
      await observed.observe();
      beyond.push(observed.base, await recordWhole(observed.recorder, run));
    }
  }
  await application.edit(5);
  await application.put('brief1', undefined);
  await application.put('back', 'before');
  await using observed = await openObserved(context, held);
  assert.ok(await observed.observe());
  await application.assertIsHeldBy(observed);
  const told = must(observed.told.at(-1), 'what was told');
  for (const base of beyond) await application.assertIsHeldBy({ base: overlaid(base, told) });
}

async function loses(context: ObservationCheckContext): Promise<void> {
  const { fixture, run } = context;
  const application = new Application(context);
  await application.edit(5);
  let cut;
  {
    await using observed = await openObserved(context);
    await application.put('k', 'v');
    await observed.observe();
    ({ cut } = observed.base.end);
  }
  {
    await using recorder = await fixture.open(cut);
    await assert.rejects(openLog(recorder, { ...cut, lineage: 'another' }, run), isLost);
    await assert.rejects(openLog(recorder, { ...cut, order: `9${cut.order.slice(1)}` }, run), isLost);
  }
  await fixture.forget();
  await using recorder = await fixture.open(cut);
  await assert.rejects(openLog(recorder, cut, run), isLost);
  const base = await recordWhole(recorder, run);
  await using log = await openLog(recorder, base.end.cut, run);
  await (await log.observe(run))?.[Symbol.asyncDispose]();
}

function interrupted(base: Base, happen: () => Promise<void>): Base {
  return {
    entries: eachAfter(base, happen),
    retry: (entry, cause, run) => base.retry(entry, cause, run),
    finish: (run) => base.finish(run),
    [Symbol.asyncDispose]: () => base[Symbol.asyncDispose](),
  };
}

async function* eachAfter(base: Base, happen: () => Promise<void>): AsyncGenerator<readonly Entry[]> {
  for await (const batch of base.entries) {
    for (const entry of batch) {
      await happen();
      yield [entry];
    }
  }
}

/** Such a base needs what was told from `logFrom` on, and gets all of the rest as well. */
async function basesMeanwhile(context: ObservationCheckContext): Promise<void> {
  const application = new Application(context);
  await application.edit(40);
  await using observed = await openObserved(context);
  const happen = async (): Promise<void> => {
    if (application.chance(0.5)) await application.edit(1);
    if (application.chance(0.3)) await observed.observe();
  };
  for (let round = 0; round < 3; round++) {
    let fuzzy = await recordWhole(observed.recorder, context.run, (base) => interrupted(base, happen));
    const { logFrom, cut } = fuzzy.end;
    assert.ok(logFrom.lineage === cut.lineage && logFrom.order < cut.order, 'the log is needed from before the cut');
    for (let steps = 0; steps < 10; steps++) await happen();
    await application.put('last', `${round}`);
    await observed.observe();
    const since = observed.told.filter(({ changes }) => changes.end.cut.order > logFrom.order);
    for (const told of since) fuzzy = overlaid(fuzzy, told);
    await application.assertIsHeldBy({ base: fuzzy });
    await application.assertIsHeldBy(observed);
  }
}

async function waits(context: ObservationCheckContext): Promise<void> {
  const { fixture, run } = context;
  await fixture.put('k', 'v');
  await using observed = await openObserved(context);
  await observed.observe();
  await fixture.put('k', 'w');
  await observed.log.changed(run);
  assert.ok(await observed.observe());
  await fixture.put('k', 'x');
  const reason = new Error('stopped by the suite');
  const stopped = { signal: AbortSignal.abort(reason) };
  const isReason = (error: unknown): boolean => error === reason;
  await assert.rejects(observed.log.changed(stopped), isReason);
  await assert.rejects(observed.log.observe(stopped), isReason);
  await using observation = await observed.log.observe(run);
  assert.ok(observation !== undefined, 'it is told');
  await assert.rejects(observation.finish(run), 'an observation without its entries');
  await Array.fromAsync(observation.entries);
  await assert.rejects(observation.finish(stopped), isReason);
}

export const observationChecks: readonly ObservationCheck[] = [
  { title: 'what was put before a look is told by it, what was removed too', verify: tellsAll },
  { title: 'what is told can be decoded by its connector', verify: decodes },
  { title: 'where nothing happens nothing is told', verify: tellsNothing },
  { title: 'an observation that is left early is told again, with what came since', verify: tellsAgain },
  { title: 'what is removed and put again is told as it is now', verify: recreates },
  { title: 'after a restart it goes on from the position that is held', verify: goesOn },
  { title: 'what was told after the position that it goes back to is told again, or as removed', verify: goesBack },
  { title: 'a position that this host does not know is lost, and a new base is a new start', verify: loses },
  { title: 'a base that is taken meanwhile is whole with what is told from its start on', verify: basesMeanwhile },
  { title: 'it waits for a change, and ends with its signal', verify: waits },
];
