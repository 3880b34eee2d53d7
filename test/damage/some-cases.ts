/** Runs cases of the pairs that are given as `KIND/DAMAGE`, and prints the number of faults. */
import process from 'node:process';
import { allPairs, openBench, runCase } from './case.ts';

const CASES_A_PAIR = 4;

await using bench = await openBench('mutants-0');
const pairs = allPairs(bench).filter(({ kind, damage }) =>
  process.argv.slice(2).some((wanted) => wanted === damage || wanted === `${kind}/${damage}`),
);
const faults: string[] = [];
for (const [number, pair] of pairs.slice(0, 12).entries()) {
  for (let round = 0; round < CASES_A_PAIR; round++) {
    const report = await runCase(bench, pair, `mutants-0/${number}/${round}`);
    faults.push(...report.faults);
  }
}
process.stdout.write(`${JSON.stringify({ cases: pairs.length, faults: faults.length, first: faults[0] })}\n`);
