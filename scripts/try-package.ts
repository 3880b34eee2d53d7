/**
 * Tries the package as its users get it: builds and packs it, looks at what is in it, installs it into an empty folder, runs the
 * command, and type-checks a program against its types. Needs the registry or a filled cache of npm.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import process from 'node:process';

const root = join(import.meta.dirname, '..');
const tools = join(root, 'node_modules', '.bin');
const scratch = mkdtempSync(join(tmpdir(), 'tidemark-package-'));
const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
  readonly version: string;
  readonly exports: Readonly<Record<string, unknown>>;
  readonly devDependencies: Readonly<Record<string, string>>;
};

/** Names a store of each connector; its servers are not there. */
const MANIFEST = `
application: shop
repository: ./backups
stores:
  uploads: files:./uploads
  catalog: embedded:./catalog.db
  carts: redis://127.0.0.1:1
  orders: postgres://shop@127.0.0.1:2/shop
`;

/** What must compile for someone who installed the package, whatever else it exports. */
const PROGRAM = `
import { TidemarkError, errorCodes } from 'tidemark';
import type { BaseReader, Connector, ErrorCode, ObjectStore, Position, Recorder, Restorer, Run } from 'tidemark';
import { openEmbedded } from 'tidemark/connectors/embedded';
import * as testing from 'tidemark/testing';

const code: ErrorCode = 'BUSY';
const error: Error = new TidemarkError(code, 'another holds it');
const exit: number = errorCodes[code].exit;
const position: Position = { lineage: 'a', order: '00000000000000000001', resume: 'x' };
export type Names = [BaseReader, Connector<unknown>, ObjectStore, Recorder, Restorer, Run];
// @ts-expect-error an unknown code is refused, so the types are not any
const refused: ErrorCode = 'NO_SUCH_CODE';
using store = openEmbedded('store.db');
store.put('k', 'kept');
console.log(error.message, exit, position.order, refused, Object.keys(testing).length > 0, store.getText('k'));
`;

/** The examples of a guide as one program, which has to compile; `signal` is what they wait with. */
function examplesOf(guide: string): string {
  const text = readFileSync(join(root, 'docs', 'guide', guide), 'utf8');
  const blocks = [...text.matchAll(/^```ts\n(.*?)^```$/gms)].map(([, code = '']) => code);
  assert.ok(blocks.length > 0, `${guide} has examples`);
  return ['const { signal } = new AbortController();', ...blocks].join('\n');
}

function run(command: string, args: readonly string[], cwd: string): string {
  const path = `${tools}${delimiter}${process.env['PATH'] ?? ''}`;
  const own = { XDG_CACHE_HOME: join(scratch, 'cache'), XDG_STATE_HOME: join(scratch, 'state') };
  const env = { ...process.env, PATH: path, ...own, TIDEMARK_PASSPHRASE: 'a passphrase' };
  const child = spawnSync(command, args, { cwd, env, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
  if (child.error) throw child.error;
  if (child.status === 0) return child.stdout;
  const said = `${child.stdout}${child.stderr}`;
  throw new Error(`${command} ${args.join(' ')} ended with ${child.status}:\n${said}`);
}

function step(name: string): void {
  process.stdout.write(`package: ${name}\n`);
}

function pack(into: string): string {
  const [packed] = JSON.parse(run('npm', ['pack', '--ignore-scripts', '--json', '--pack-destination', into], root)) as {
    readonly filename: string;
    readonly files: readonly { readonly path: string }[];
  }[];
  assert.ok(packed, 'npm pack made a file');
  const paths = packed.files.map(({ path }) => path);
  const wrong = paths.filter((path) =>
    /\.test\.|(?:^|[^d])\.ts$|^(?:src|test|bench|scripts)\//.test(path.replace(/\.d\.ts$/, '')),
  );
  assert.deepEqual(wrong, [], 'no sources and no tests are published');
  for (const needed of ['LICENSE', 'README.md', 'bin/tidemark.js', 'dist/cli/main.js', 'dist/index.d.ts']) {
    assert.ok(paths.includes(needed), `${needed} is in the package`);
  }
  return join(into, packed.filename);
}

function checkTypes(folder: string): void {
  const language = { target: 'es2024', lib: ['es2024', 'esnext.disposable'], module: 'nodenext', types: ['node'] };
  const strictness = { strict: true, exactOptionalPropertyTypes: true, skipLibCheck: false };
  const compilerOptions = { ...language, ...strictness, outDir: 'out' };
  writeFileSync(
    join(folder, 'tsconfig.json'),
    JSON.stringify({ compilerOptions, files: ['program.ts', 'embedded.ts'] }),
  );
  writeFileSync(join(folder, 'program.ts'), PROGRAM);
  writeFileSync(join(folder, 'embedded.ts'), examplesOf('embedded.md'));
  run('tsc', ['-p', 'tsconfig.json'], folder);
  assert.match(run(process.execPath, ['out/program.js'], folder), /another holds it 8 0+1 NO_SUCH_CODE true kept/);
}

try {
  step('build');
  run('npm', ['run', '--silent', 'build'], root);
  step('pack');
  const file = pack(scratch);
  step('publint, attw');
  run('publint', ['--strict', file], root);
  run('attw', ['--profile', 'esm-only', file], root);

  step('install into an empty folder');
  const folder = join(scratch, 'user');
  mkdirSync(folder);
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ name: 'user', private: true, type: 'module' }));
  const nodeTypes = `@types/node@${manifest.devDependencies['@types/node']}`;
  const quiet = ['--ignore-scripts', '--prefer-offline', '--no-audit', '--no-fund', '--loglevel=error'];
  run('npm', ['install', ...quiet, file, nodeTypes], folder);

  step('run the command');
  const command = join(folder, 'node_modules', '.bin', 'tidemark');
  assert.match(run(command, ['--help'], folder), /\brestore\b/);
  assert.ok(run(command, ['version'], folder).includes(manifest.version), 'the version is that of the package');

  step('run the demo, with its threads');
  run(command, ['demo'], folder);

  step('load each connector');
  mkdirSync(join(folder, 'uploads'));
  writeFileSync(join(folder, 'tidemark.yaml'), MANIFEST);
  run(command, ['init'], folder);
  assert.throws(
    () => run(command, ['doctor'], folder),
    /Redis server 127\.0\.0\.1:1: nothing[^]+127\.0\.0\.1:2: nothing listens/,
  );

  step('import each entry');
  for (const name of Object.keys(manifest.exports).filter((entry) => !entry.endsWith('.json'))) {
    const specifier = name.replace('.', 'tidemark');
    run(process.execPath, ['--input-type=module', '-e', `await import('${specifier}')`], folder);
  }

  step('check types');
  checkTypes(folder);
  process.stdout.write('package: all well\n');
} finally {
  rmSync(scratch, { recursive: true, force: true });
}
