import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, test } from 'node:test';

import { fileLength, functionLength, nestingDepth, parameterCount } from './architecture/budget-rules.ts';
import * as layerRules from './architecture/layer-rules.ts';
import type { Breach, Exception, Rule } from './architecture/rule.ts';
import * as shapeRules from './architecture/shape-rules.ts';
import { readProject } from './architecture/source.ts';
import * as syntaxRules from './architecture/syntax-rules.ts';

/** Where a rule does not hold, and why that is right. One line each; an exception that is not needed fails. */
const EXCEPTIONS: readonly Exception[] = [
  {
    rule: functionLength,
    path: 'test/e2e/round-trip.test.ts',
    subject: 'test',
    reason: 'a story whose steps each need what came before',
  },
  {
    rule: functionLength,
    path: 'test/kit/damage.test.ts',
    subject: 'test',
    reason: 'a table of lies, each a few lines',
  },
];

const root = join(import.meta.dirname, '..');
const sources = readProject(root);
const used = new Set<Exception>();

function isExcepted(rule: Rule, { path, subject }: Breach): boolean {
  const exception = EXCEPTIONS.find((item) => item.rule === rule && item.path === path && item.subject === subject);
  if (exception) used.add(exception);
  return exception !== undefined;
}

function holds(rule: Rule): void {
  const breaches = [...rule(sources)].filter((breach) => !isExcepted(rule, breach));
  const listed = breaches.map(({ path, line, message }) => `  ${path}:${line}: ${message}\n`);
  if (listed.length > 0) assert.fail(`${listed.length} to mend:\n${listed.join('')}`);
}

test('there is something to check', () => assert.ok(sources.length > 50));

test('imports go down the layers only', () => holds(layerRules.layers));
test('a package is imported only by its owner', () => holds(layerRules.packageOwners));
test('core and flow have no input or output', () => holds(layerRules.pureLayers));
test('the product imports no test, benchmark or script', () => holds(layerRules.productStandsAlone));
test('no import cycles', () => holds(layerRules.noCycles));
test('relative imports end in .ts and lead to a file', () => holds(layerRules.importsResolve));
test('the files of threads are found in the built package too', () => holds(layerRules.urlsSurviveBuild));

test('only erasable syntax', () => holds(syntaxRules.erasableSyntax));
test('no any', () => holds(syntaxRules.noAny));
test('no non-null assertion', () => holds(syntaxRules.noNonNull));
test('types are imported on a line of their own', () => holds(syntaxRules.noInlineTypes));
test('only config, cli and entries touch the process', () => holds(syntaxRules.processOwners));
test('time, chance and console come from the runtime', () => holds(syntaxRules.timeOwner));
test('no inheritance except of errors', () => holds(syntaxRules.onlyErrorsInherit));
test('no check is silenced, nothing is left to do', () => holds(syntaxRules.nothingSilenced));

test('files keep their budget of lines', () => holds(fileLength));
test('functions keep their budget of lines', () => holds(functionLength));
test('functions keep their budget of parameters', () => holds(parameterCount));
test('functions keep their budget of nesting', () => holds(nestingDepth));

test('no barrels', () => holds(shapeRules.noBarrels));
test('file names say something, in kebab-case', () => holds(shapeRules.fileNames));
test('everything is reachable from an entry', () => holds(shapeRules.allReachable));
test('a role has the same file name in every folder', () => holds(shapeRules.sameRoleNames));
test('what a thread starts with is called a worker', () => holds(shapeRules.workersAreNamed));

after(() => {
  const stale = EXCEPTIONS.filter((exception) => !used.has(exception));
  assert.deepEqual(stale, [], 'exceptions that are not needed any more');
});
