import { isTidemarkError } from '../../src/core/errors.ts';
import { loadCatalogue, packKeysOf } from '../../src/repository/catalogue.ts';
import { checkGarbage, checkMarks, sweepToTheEnd } from './checks.ts';
import { backUpRepeatedly, sweepRepeatedly, tendRepeatedly } from './tasks.ts';
import { LEASE_MS } from './template.ts';
import type { Template } from './template.ts';
import { drawFaults, realProtocol, World } from './world.ts';
import type { Actor, Protocol } from './world.ts';

export type Outcome = {
  readonly violations: readonly string[];
  readonly marks: number;
  readonly deleted: number;
  readonly calls: number;
};

/** Runs the schedule of a seed: always the same for the same code. */
export async function runSchedule(
  seed: number,
  template: Template,
  protocol: Protocol = realProtocol,
): Promise<Outcome> {
  const world = new World({ seed, template, protocol });
  await world.clock.runUntil(play(world));
  await checkMarks(world);
  await checkGarbage(world);
  const deleted = world.calls.filter(
    ({ name, keys }) => name === 'delete' && keys.some((key) => key.startsWith('packs/')),
  );
  return {
    violations: world.violations,
    marks: world.model.markCount,
    deleted: deleted.reduce((sum, { keys }) => sum + keys.length, 0),
    calls: world.calls.length,
  };
}

async function play(world: World): Promise<void> {
  const { random } = world;
  const actors: Actor[] = [];
  const actor = (name: string, credential: number, narrow: boolean): Actor => {
    const made = world.actor(name, credential, { faults: drawFaults(random), narrow });
    actors.push(made);
    return made;
  };
  const tasks: Promise<void>[] = [];
  const writers = 2 + random.integer(2);
  for (let at = 0; at < writers; at += 1) {
    // The first two are the same writer in two processes.
    const writer = actor(`writer ${at}`, Math.max(0, at - 1), random.chance(0.3));
    tasks.push(backUpRepeatedly(world, writer, 1 + random.integer(2)));
  }
  for (let at = 0; at < 2; at += 1) {
    tasks.push(sweepRepeatedly(world, actor(`sweeper ${at}`, at, false), 3 + random.integer(3)));
  }
  for (let at = 0; at < 2; at += 1) {
    const tender = actor(`tender ${at}`, at, false);
    tasks.push(tendRepeatedly(world, tender, { times: 1 + random.integer(2), pins: at === 0 }));
  }
  if (world.hasVandal) tasks.push(vandalize(world));
  await Promise.all(tasks);
  await sweepToTheEnd(world, actors);
  // Until listings show all that the last sweep did.
  await world.clock.sleep(LEASE_MS, world.run);
}

/** Deletes packs that no manifest names, as somebody may who tidies up by hand: whoever reuses them has to notice. */
async function vandalize(world: World): Promise<void> {
  const random = world.random.fork('vandal');
  const access = { ...world.access(0), objects: world.memory };
  for (let turn = 0; turn < 6; turn += 1) {
    await world.clock.sleep(random.integer(1.5 * LEASE_MS), world.run);
    try {
      const catalogue = await loadCatalogue(access, [], world.run);
      const named = new Set([...catalogue.bases.values()].flatMap(packKeysOf));
      const unnamed = world.memory.keys().filter((key) => key.startsWith('packs/') && !named.has(key));
      for (const key of unnamed) if (random.chance(0.5)) world.memory.remove(key);
    } catch (error) {
      if (!isTidemarkError(error)) throw error;
    }
  }
}
