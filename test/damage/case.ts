import { isTidemarkError } from '../../src/core/errors.ts';
import { createSeededRandom } from '../../src/flow/random.ts';
import type { Extractor } from '../../src/repository/base-reader.ts';
import { findChanges } from './changes.ts';
import { applyDamage, DAMAGES } from './damages.ts';
import type { DamageKind } from './damages.ts';
import { findDependencies } from './dependencies.ts';
import type { Dependencies } from './dependencies.ts';
import { judge } from './judge.ts';
import { kindOf, neededPacks } from './object-kinds.ts';
import type { ObjectKind } from './object-kinds.ts';
import { restoreAll } from './oracle.ts';
import { verifyWhole } from './verify-whole.ts';
import { createWorld } from './world.ts';
import type { World } from './world.ts';

const AT_LARGE: readonly DamageKind[] = ['put back', 'roll back newest', 'roll back session'];

export type Bench = AsyncDisposable & {
  readonly world: World;
  /** Who restores; in place when absent. */
  readonly extract?: Extractor | undefined;
  readonly dependencies: Dependencies;
  readonly kindOf: (key: string) => ObjectKind;
};

export type CaseReport = {
  readonly seed: string;
  readonly kind: ObjectKind;
  readonly damage: DamageKind;
  /** What was done. */
  readonly story: string;
  readonly outcome: 'refused' | 'found, lost' | 'found, nothing lost' | 'noted' | 'harmless';
  readonly byStructure: boolean;
  readonly faults: readonly string[];
};

/** A repository to be damaged again and again. */
export async function openBench(seed: string, extract?: Extractor): Promise<Bench> {
  const world = await createWorld(seed);
  const dependencies = await findDependencies(world);
  const needed = neededPacks(world.catalogue);
  // The second pack that a base writes is that of its nodes: content comes first.
  const nodePacks = new Set(
    [...dependencies.entries.values()].flatMap((byName) => [...byName.values()].flatMap(([first]) => first?.key ?? [])),
  );
  return {
    world,
    extract,
    dependencies,
    kindOf: (key) => kindOf(key, { neededPacks: needed, nodePacks }),
    [Symbol.asyncDispose]: () => world.fixture[Symbol.asyncDispose](),
  };
}

/** One kind of object and one kind of damage. */
export type Pair = { readonly kind: ObjectKind; readonly damage: DamageKind };

/** Every pair that means something: what does not look at the object is paired with one kind only. */
export function allPairs(bench: Bench): readonly Pair[] {
  const kinds = [...new Set(bench.world.whole.held.map(({ info }) => bench.kindOf(info.key)))].toSorted();
  const everywhere = DAMAGES.filter((damage) => !AT_LARGE.includes(damage));
  const pairs = kinds.flatMap((kind) => everywhere.map((damage) => ({ kind, damage })));
  const atLarge = AT_LARGE.flatMap((damage) => Array.from({ length: 8 }, () => ({ kind: 'header' as const, damage })));
  return [...pairs, ...atLarge];
}

/** Damages the whole repository as the seed says, restores and verifies, and judges what came of it. */
export async function runCase(bench: Bench, { kind, damage }: Pair, seed: string): Promise<CaseReport> {
  const { world } = bench;
  const random = createSeededRandom(`case ${seed}`);
  world.fixture.memory.restore(world.whole);
  const stories: string[] = [];
  for (let count = random.chance(0.1) ? 2 : 1; count > 0; count--) {
    const keys = world.fixture.memory.keys().filter((key) => bench.kindOf(key) === kind);
    if (keys.length > 0) stories.push(applyDamage(damage, random.pick(keys), { world, random, kindOf: bench.kindOf }));
  }
  return { seed, kind, damage, story: stories.join('; '), ...(await observe(bench)) };
}

async function observe(bench: Bench): Promise<Pick<CaseReport, 'outcome' | 'byStructure' | 'faults'>> {
  const changes = findChanges(bench.world);
  try {
    const outcome = await restoreAll(bench.world, bench.extract);
    const full = outcome.refused === undefined ? await verifyWhole(bench.world, 1) : undefined;
    const structure = outcome.refused === undefined ? await verifyWhole(bench.world, 0) : undefined;
    const faults = judge({ ...bench, changes, outcome, full, structure });
    const isFound = (full?.damage.length ?? 0) > 0;
    const found = outcome.lost.length > 0 ? 'found, lost' : 'found, nothing lost';
    const unfound = (full?.notes.length ?? 0) > 0 ? 'noted' : 'harmless';
    return {
      outcome: outcome.refused === undefined ? (isFound ? found : unfound) : 'refused',
      byStructure: (structure?.damage.length ?? 0) > 0,
      faults,
    };
  } catch (error) {
    const stack = error instanceof Error ? error.stack : String(error);
    const what = isTidemarkError(error) ? 'verify threw' : 'an error that is none of ours';
    return { outcome: 'refused', byStructure: false, faults: [`${what}: ${stack}`] };
  }
}
