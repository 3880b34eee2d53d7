import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import process from 'node:process';
import { after, test } from 'node:test';
import { must } from '../../src/core/must.ts';
import { basesOfMarks } from '../../src/repository/log-needs.ts';
import { allPairs, openBench, runCase } from './case.ts';
import type { CaseReport } from './case.ts';
import { tableOf } from './table.ts';
import { verifyWhole } from './verify-whole.ts';

const isFull = process.env['TIDEMARK_TEST_LEVEL'] === 'full';
const WORLDS = isFull ? 8 : 4;
/** At the quick level each pair comes once, in one of the worlds. */
const CASES_A_WORLD = isFull ? 250 : undefined;
const only = process.env['TIDEMARK_DAMAGE'];
const firstSeed = isFull ? String(randomInt(2 ** 32)) : 'tidemark';
const reports: CaseReport[] = [];

function worldOf(seed: string): string {
  return must(seed.split('/')[0], 'a world');
}

/** Registers the tests of every second world: the others are another process's, so that both processors work. */
export function testDamage(half: 0 | 1): void {
  const all = Array.from({ length: WORLDS }, (_, number) => `${firstSeed}-${number}`);
  const worlds =
    only === undefined ? all.filter((_, number) => number % 2 === half) : half === 0 ? [worldOf(only)] : [];
  for (const world of worlds) testWorld(world);
  test('a repository that nothing happened to has no damage, and all its bases are proven', () => testUndamaged());
  after(() => {
    process.stdout.write(`seed ${firstSeed}\n${tableOf(reports)}\n`);
  });
}

function testWorld(world: string): void {
  test(`every damage to repository ${world} that changes what can be restored is found, and the rest can be restored`, async () => {
    await using bench = await openBench(world);
    const pairs = allPairs(bench);
    const cases = CASES_A_WORLD ?? Math.ceil(pairs.length / WORLDS);
    const bad: string[] = [];
    for (let number = 0; number < cases; number++) {
      const seed = `${world}/${number}`;
      if (only !== undefined && only !== seed) continue;
      // One world goes on where the one before it ended, so that all pairs come up.
      const pair = must(pairs[(Number(world.split('-').at(-1)) * cases + number) % pairs.length], 'a pair');
      const report = await runCase(bench, pair, seed);
      reports.push(report);
      if (report.faults.length === 0) continue;
      bad.push(
        `${report.story}\n    ${report.faults.slice(0, 5).join('\n    ')}\n    replay: TIDEMARK_DAMAGE=${seed} node --test test/damage/damage.test.ts`,
      );
    }
    assert.deepEqual(bad, [], `${bad.length} cases are not as they must be:\n${bad.slice(0, 10).join('\n')}`);
  });
}

async function testUndamaged(): Promise<void> {
  await using bench = await openBench(`${firstSeed}-0`);
  for (const share of [0, 1]) {
    const report = await verifyWhole(bench.world, share);
    assert.deepEqual(report.damage, []);
    assert.deepEqual(report.notes, []);
    assert.equal(report.proven.length, share === 1 ? report.bases : 0);
    const { catalogue } = bench.world;
    assert.equal(report.bases, basesOfMarks(catalogue.marks).size);
    assert.equal(report.segments, 3);
  }
}
