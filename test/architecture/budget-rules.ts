import { isTest } from './rule.ts';
import type { Breach, Rule } from './rule.ts';
import type { FunctionFact, Source } from './source.ts';

const FILE_LINES = 600;
const TEST_FILE_LINES = 800;

export function* fileLength(sources: readonly Source[]): Generator<Breach> {
  for (const { path, lines } of sources) {
    const budget = isTest(path) ? TEST_FILE_LINES : FILE_LINES;
    if (lines <= budget) continue;
    yield { path, line: budget, subject: path, message: `${lines} lines; a file has at most ${budget}` };
  }
}

function functionBudget(measure: (fact: FunctionFact) => number, budget: number, unit: string): Rule {
  return function* (sources) {
    for (const { path, functions } of sources) {
      for (const fact of functions) {
        if (measure(fact) <= budget) continue;
        const message = `${fact.name || 'a function'} has ${measure(fact)} ${unit}; at most ${budget}`;
        yield { path, line: fact.line, subject: fact.name, message };
      }
    }
  };
}

export const functionLength = functionBudget(({ lines }) => lines, 100, 'lines');
export const parameterCount = functionBudget(({ parameters }) => parameters, 4, 'parameters');
export const nestingDepth = functionBudget(({ nesting }) => nesting, 4, 'nested blocks');
