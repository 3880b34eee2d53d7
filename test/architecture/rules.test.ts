import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

import * as budgetRules from './budget-rules.ts';
import * as layerRules from './layer-rules.ts';
import type { Rule } from './rule.ts';
import * as shapeRules from './shape-rules.ts';
import { readSource } from './source.ts';
import * as syntaxRules from './syntax-rules.ts';

type Files = Readonly<Record<string, string>>;
type Fixture = { readonly rule: Rule; readonly holds: readonly Files[]; readonly breaks: readonly Files[] };

const lines = (count: number): string => 'const x = 1;\n'.repeat(count);
const functionOf = (count: number): string => `function f() {\n${'  g();\n'.repeat(count - 2)}}\n`;
const inSrc = (text: string): Files => ({ 'src/core/a.ts': text });

const FIXTURES: Readonly<Record<string, Fixture>> = {
  layers: {
    rule: layerRules.layers,
    holds: [
      { 'src/flow/a.ts': "import { x } from '../core/b.ts';" },
      { 'src/connectors/files/a.ts': "import { x } from '../../io/b.ts'; import { y } from './c.ts';" },
      { 'src/connectors/registry.ts': "const x = import('./files/connector.ts');" },
      { 'src/repository/keys/a.ts': "import type { X } from '../../objects/object-store.ts';" },
      { 'src/objects/wrappers/a.ts': "import { x } from '../object-store.ts';" },
      { 'src/app/a.ts': "import { x } from '../connectors/registry.ts';" },
      { 'src/core/a.test.ts': "import { x } from '../testing/b.ts';" },
    ],
    breaks: [
      { 'src/core/a.ts': "import { x } from '../flow/b.ts';" },
      { 'src/core/a.ts': "import type { X } from '../io/b.ts';" },
      { 'src/core/a.ts': "export { x } from '../io/b.ts';" },
      { 'src/core/a.ts': "type X = import('../io/b.ts').X;" },
      { 'src/connectors/files/a.ts': "import { x } from '../redis/b.ts';" },
      { 'src/connectors/files/a.ts': "const x = import('../registry.ts');" },
      { 'src/objects/local/a.ts': "import { x } from '../wrappers/b.ts';" },
      { 'src/repository/a.ts': "import { x } from '../objects/local/object-store.ts';" },
      { 'src/repository/a.ts': "import { x } from '../objects/object-key.ts';" },
      { 'src/archive/a.ts': "import { x } from '../restore/b.ts';" },
      { 'src/restore/a.ts': "import { x } from '../archive/b.ts';" },
      { 'src/archive/a.ts': "import { x } from '../connectors/files/connector.ts';" },
      { 'src/cli/a.ts': "import { x } from '../connectors/registry.ts';" },
      { 'src/cli/a.ts': "import { x } from '../repository/b.ts';" },
      { 'src/app/a.ts': "import { x } from '../testing/b.ts';" },
      { 'src/app/a.ts': "import { x } from '../cli/b.ts';" },
      { 'src/misplaced/a.ts': 'export const x = 1;' },
      { 'src/objects/local/a.ts': "const x = new URL('../../repository/b-worker', import.meta.url);" },
    ],
  },
  packageOwners: {
    rule: layerRules.packageOwners,
    holds: [
      { 'src/io/native-time.ts': "import koffi from 'koffi';" },
      { 'src/config/schema.ts': "import { parse } from 'yaml';" },
      { 'src/core/a.ts': "import { readFile } from 'fs';" },
      { 'src/cli/a.ts': "const x = new URL('../../package.json', import.meta.url);" },
      { 'src/core/a.test.ts': "import fc from 'fast-check';" },
    ],
    breaks: [
      { 'src/io/lock.ts': "import koffi from 'koffi';" },
      { 'src/app/a.ts': "const y = await import('yaml');" },
      { 'src/connectors/registry.ts': "import { parse } from 'yaml';" },
      { 'src/core/a.ts': "import type { Command } from 'commander';" },
      { 'src/connectors/redis/a.ts': "import ignore from 'ignore';" },
      { 'src/io/a.ts': "import { x } from 'left-pad';" },
      { 'src/io/a.ts': "import { x } from '@aws-sdk/client-s3/deep';" },
    ],
  },
  pureLayers: {
    rule: layerRules.pureLayers,
    holds: [
      inSrc("import { hash } from 'node:crypto';"),
      { 'src/io/a.ts': "import { open } from 'node:fs/promises';" },
    ],
    breaks: [
      inSrc("import { open } from 'node:fs/promises';"),
      { 'src/flow/a.ts': "import { spawn } from 'node:child_process';" },
    ],
  },
  productStandsAlone: {
    rule: layerRules.productStandsAlone,
    holds: [{ 'test/e2e/a.test.ts': "import { x } from '../tree.ts';" }],
    breaks: [
      inSrc("import { x } from '../../test/tree.ts';"),
      inSrc("import { x } from './b.test.ts';"),
      { 'src/testing/a.ts': "import fc from 'fast-check';" },
    ],
  },
  noCycles: {
    rule: layerRules.noCycles,
    holds: [
      { 'src/core/a.ts': "import type { X } from './b.ts';", 'src/core/b.ts': "import { y } from './a.ts';" },
      { 'src/core/a.ts': "const x = import('./b.ts');", 'src/core/b.ts': "import { y } from './a.ts';" },
    ],
    breaks: [
      { 'src/core/a.ts': "import { x } from './b.ts';", 'src/core/b.ts': "export { y } from './a.ts';" },
      {
        'src/core/a.ts': "import { type X } from './b.ts';",
        'src/core/b.ts': "import './c.ts';",
        'src/core/c.ts': "import './a.ts';",
      },
      inSrc("import './a.ts';"),
    ],
  },
  importsResolve: {
    rule: layerRules.importsResolve,
    holds: [{ 'src/core/a.ts': "import './b.ts';", 'src/core/b.ts': '' }],
    breaks: [
      inSrc("import './b.ts';"),
      { 'src/core/a.ts': "import './b.js';", 'src/core/b.ts': '' },
      { 'src/core/a.ts': "import './b';", 'src/core/b.ts': '' },
    ],
  },
  urlsSurviveBuild: {
    rule: layerRules.urlsSurviveBuild,
    holds: [inSrc('const x = new URL(`./worker${extname(import.meta.filename)}`, import.meta.url);')],
    breaks: [inSrc("const x = new URL('./worker.ts', import.meta.url);")],
  },
  erasableSyntax: {
    rule: syntaxRules.erasableSyntax,
    holds: [inSrc("const x = { a: 1 } as const; export type Y = 'a' | 'b';")],
    breaks: [
      inSrc('enum X { A }'),
      inSrc('const enum X { A }'),
      inSrc('namespace X { export const y = 1; }'),
      inSrc('class X { constructor(readonly y: string) {} }'),
      inSrc("import x = require('y');"),
    ],
  },
  noAny: {
    rule: syntaxRules.noAny,
    holds: [inSrc('function f(any: unknown): unknown { return any; }')],
    breaks: [inSrc('let x: any;'), inSrc('function f(...x: any[]) {}'), { 'test/a.test.ts': 'const x = y as any;' }],
  },
  noNonNull: {
    rule: syntaxRules.noNonNull,
    holds: [inSrc('const x = !y; const z = y !== 1;')],
    breaks: [
      inSrc('const x = y!;'),
      inSrc('const x = y![0]!.z;'),
      inSrc('class X { y!: string; }'),
      inSrc('let x!: string;'),
    ],
  },
  noInlineTypes: {
    rule: syntaxRules.noInlineTypes,
    holds: [inSrc("import { x } from 'y'; import type { Z } from 'y';")],
    breaks: [inSrc("import { x, type Z } from 'y';"), inSrc("export { type Z } from 'y';")],
  },
  processOwners: {
    rule: syntaxRules.processOwners,
    holds: [
      { 'src/config/a.ts': "const x = process.env['HOME'];" },
      { 'src/repository/pipeline/seal-worker.ts': 'process.on("message", f);' },
      inSrc('const x = process.memoryUsage(); const y = my.process.env;'),
      { 'src/core/a.test.ts': 'process.exit(1);' },
    ],
    breaks: [
      inSrc("const x = process.env['HOME'];"),
      inSrc('process.exit(1);'),
      inSrc('process.exitCode = 1;'),
      inSrc("process.on('SIGINT', f);"),
      inSrc('const x = process.argv[2];'),
      inSrc("const x = process['env'];"),
      inSrc('const { env } = process;'),
      inSrc("import { env } from 'node:process';"),
    ],
  },
  timeOwner: {
    rule: syntaxRules.timeOwner,
    holds: [
      { 'src/flow/clock.ts': 'const x = Date.now(); setTimeout(f, 1);' },
      { 'src/cli/a.ts': 'console.log(new Date());' },
      inSrc('const x = new Date(ms); const y = clock.now(); this.setTimeout(f);'),
      inSrc("import { setImmediate } from 'node:timers/promises';"),
      { 'src/core/a.test.ts': 'const x = Date.now();' },
    ],
    breaks: [
      inSrc('const x = Date.now();'),
      inSrc('const x = new Date();'),
      inSrc('setTimeout(f, 1);'),
      inSrc('setInterval(f, 1);'),
      inSrc('const x = performance.now();'),
      inSrc('const x = Math.random();'),
      inSrc("console.error('x');"),
      inSrc('const { now } = Date;'),
      inSrc('const x = AbortSignal.timeout(5);'),
      inSrc("import { setTimeout } from 'node:timers/promises';"),
      inSrc("import timers from 'node:timers';"),
      { 'src/flow/channel.ts': 'const x = Date.now();' },
    ],
  },
  onlyErrorsInherit: {
    rule: syntaxRules.onlyErrorsInherit,
    holds: [inSrc('class XError extends Error {}'), inSrc('class X implements Y {}')],
    breaks: [
      inSrc('class X extends EventEmitter {}'),
      inSrc('const x = class extends Y {};'),
      inSrc('class X extends mix(Y) {}'),
    ],
  },
  nothingSilenced: {
    rule: syntaxRules.nothingSilenced,
    holds: [inSrc("// what to do next\nconst x = 'TODO';")],
    breaks: [
      inSrc('// oxlint-disable-next-line no-console'),
      inSrc('/* eslint-disable */'),
      inSrc('// biome-ignore format: x'),
      inSrc('// @ts-ignore'),
      inSrc('// @ts-expect-error x'),
      inSrc('// TODO: y'),
    ],
  },
  fileLength: {
    rule: budgetRules.fileLength,
    holds: [inSrc(lines(600)), { 'src/core/a.test.ts': lines(800) }],
    breaks: [inSrc(lines(601)), { 'src/core/a.test.ts': lines(801) }],
  },
  functionLength: {
    rule: budgetRules.functionLength,
    holds: [inSrc(functionOf(100))],
    breaks: [
      inSrc(functionOf(101)),
      inSrc(`const x = ${functionOf(101)}`),
      inSrc(`class X { ${functionOf(101).slice(9)} }`),
    ],
  },
  parameterCount: {
    rule: budgetRules.parameterCount,
    holds: [inSrc('function f(a, b, c, d) {}')],
    breaks: [
      inSrc('function f(a, b, c, d, e) {}'),
      inSrc('const f = (a, b, c, d, ...e) => 1;'),
      inSrc('class X { f(a, b, c, d, e) {} }'),
    ],
  },
  nestingDepth: {
    rule: budgetRules.nestingDepth,
    holds: [
      inSrc('function f() { for (;;) { if (a) { try { while (b) { c(); } } finally { d(); } } } }'),
      inSrc('function f() { if (a) {} else if (b) {} else if (c) {} else if (d) {} else if (e) {} else if (g) {} }'),
      inSrc('function f() { for (;;) { if (a) { try { if (b) { g(() => { if (c) d(); }); } } finally { } } } }'),
    ],
    breaks: [
      inSrc('function f() { for (;;) { if (a) { try { while (b) { if (c) d(); } } finally { } } } }'),
      inSrc(
        'const f = () => { for (const x of y) for (const x in y) do { switch (z) { case 1: if (a) b(); } } while (c); };',
      ),
    ],
  },
  noBarrels: {
    rule: shapeRules.noBarrels,
    holds: [
      { 'src/index.ts': "export { x } from './core/a.ts';" },
      inSrc("export { x } from './b.ts'; export const y = 1;"),
      inSrc("import './b.ts';"),
    ],
    breaks: [
      inSrc("export * from './b.ts';"),
      inSrc("export type { X } from './b.ts';"),
      { 'src/core/index.ts': "import { x } from './b.ts'; export { x };" },
    ],
  },
  fileNames: {
    rule: shapeRules.fileNames,
    holds: [{ 'src/core/byte-order.ts': '' }, { 'src/core/byte-order.test.ts': '' }],
    breaks: [
      { 'src/core/utils.ts': '' },
      { 'src/core/misc.test.ts': '' },
      { 'test/e2e/test-helpers.ts': '' },
      { 'src/core/common.ts': '' },
      { 'src/core/byteOrder.ts': '' },
      { 'src/core/Bytes.ts': '' },
    ],
  },
  allReachable: {
    rule: shapeRules.allReachable,
    holds: [
      {
        'src/index.ts': "export { x } from './core/a.ts';",
        'src/core/a.ts': "import type { Y } from './b.ts';",
        'src/core/b.ts': '',
      },
      { 'src/cli/main.ts': "await import('./a.ts');", 'src/cli/a.ts': '' },
      {
        'src/connectors/x/connector.ts': 'const x = new URL(`./a-worker${end}`, import.meta.url);',
        'src/connectors/x/a-worker.ts': '',
      },
      { 'src/testing/memory.ts': '', 'src/core/a.test.ts': "import '../testing/memory.ts';" },
    ],
    breaks: [
      inSrc('export const x = 1;'),
      { 'src/core/a.ts': '', 'src/core/a.test.ts': "import './a.ts';" },
      { 'src/testing/memory.ts': '' },
    ],
  },
  sameRoleNames: {
    rule: shapeRules.sameRoleNames,
    holds: [
      {
        'src/connectors/x/connector.ts': 'export const xConnector = 1;',
        'src/connectors/x/options.ts': 'export const xOptions = 1;',
        'src/connectors/x/scan.ts': 'export type ScanOptions = 1; export function scan() {}',
        'src/objects/y/object-store.ts': 'export function openYStore() {}',
        'src/objects/wrappers/retrying.ts': 'export function retryingStore() {}',
      },
    ],
    breaks: [
      { 'src/connectors/x/options.ts': '' },
      { 'src/connectors/x/connector.ts': '' },
      { 'src/objects/y/store.ts': '' },
      {
        'src/connectors/x/connector.ts': 'export async function openXRecorder() {}',
        'src/connectors/x/options.ts': '',
      },
    ],
  },
  workersAreNamed: {
    rule: shapeRules.workersAreNamed,
    holds: [{ 'src/core/a.ts': 'new URL(`./seal-worker${end}`, import.meta.url)', 'src/core/seal-worker.ts': '' }],
    breaks: [
      { 'src/core/a.ts': 'new URL(`./seal${end}`, import.meta.url)', 'src/core/seal.ts': '' },
      { 'src/core/a.ts': "new URL('seal' + end, import.meta.url)", 'src/core/seal.ts': '' },
    ],
  },
};

function breachesOf(rule: Rule, files: Files): number {
  return [...rule(Object.entries(files).map(([path, text]) => readSource(path, text)))].length;
}

for (const [name, { rule, holds, breaks }] of Object.entries(FIXTURES)) {
  test(`${name} accepts what is right and finds each breach`, () => {
    for (const files of holds) assert.equal(breachesOf(rule, files), 0, `should hold: ${JSON.stringify(files)}`);
    for (const files of breaks) assert.notEqual(breachesOf(rule, files), 0, `should break: ${JSON.stringify(files)}`);
  });
}

test('every rule is tried here and applied to the project', () => {
  const applied = readFileSync(join(import.meta.dirname, '..', 'architecture.test.ts'), 'utf8');
  const rules = Object.keys({ ...layerRules, ...syntaxRules, ...budgetRules, ...shapeRules });
  assert.deepEqual(Object.keys(FIXTURES).sort(), rules.sort());
  for (const name of rules) assert.match(applied, new RegExp(`holds\\((?:\\w+\\.)?${name}\\)`), name);
});

test('a file that is no TypeScript is refused', () => {
  assert.throws(() => readSource('src/core/a.ts', 'const = 1'), /src\/core\/a\.ts/);
});
