/** Runs cases of the pairs that are given as `KIND/DAMAGE` until one has a fault, and prints the number of pairs and the fault. */
import process from 'node:process';
import { allPairs, openBench, runCase } from './case.ts';

const CASES_A_PAIR = 4;

await using bench = await openBench('mutants-0');
const pairs = allPairs(bench).filter(({ kind, damage }) =>
  process.argv.slice(2).some((wanted) => wanted === damage || wanted === `${kind}/${damage}`),
);
let fault: string | undefined;
for (const [number, pair] of pairs.slice(0, 12).entries()) {
  for (let round = 0; round < CASES_A_PAIR && fault === undefined; round++) {
    const report = await runCase(bench, pair, `mutants-0/${number}/${round}`);
    [fault] = report.faults;
  }
}
process.stdout.write(`${JSON.stringify({ pairs: pairs.length, fault })}\n`);
