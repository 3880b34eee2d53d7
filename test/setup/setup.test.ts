import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { test } from 'node:test';

const root = join(import.meta.dirname, '..', '..');
const ownNode = `node-${process.platform}-${process.arch}`;

/** Stands in for npm: writes down how it was called, and leaves what `npm ci` would leave. */
const FAKE_NPM = `
import { appendFileSync, chmodSync, cpSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
const args = process.argv.slice(2);
if (args[0] === 'config') { console.log(process.env.FAKE_CACHE); process.exit(0); }
appendFileSync(process.env.FAKE_LOG, args.join(' ') + '\\n');
if (process.env.FAKE_STATUS) process.exit(Number(process.env.FAKE_STATUS));
const folder = args[args.indexOf('--prefix') + 1];
const modules = join(folder, 'node_modules');
rmSync(modules, { recursive: true, force: true });
mkdirSync(join(modules, '.bin'), { recursive: true });
cpSync(join(folder, 'package-lock.json'), join(modules, '.package-lock.json'));
if (folder.endsWith('node') && !process.env.FAKE_UNREACHABLE) {
  const bin = join(modules, '${ownNode}', 'bin');
  mkdirSync(bin, { recursive: true });
  writeFileSync(join(bin, 'node'), '#!/bin/sh\\n' + (process.env.FAKE_NODE ?? 'exec ${process.execPath} "$@"') + '\\n');
  chmodSync(join(bin, 'node'), 0o755);
}
`;

type Ended = { readonly status: number | null; readonly said: string; readonly installs: readonly string[] };

class Checkout implements Disposable {
  readonly folder = mkdtempSync(join(tmpdir(), 'tidemark-setup-'));

  constructor(neededNode: string) {
    mkdirSync(join(this.folder, 'scripts/node'), { recursive: true });
    mkdirSync(join(this.folder, 'cache'));
    cpSync(join(root, 'scripts/setup.js'), join(this.folder, 'scripts/setup.js'));
    cpSync(join(root, 'bin'), join(this.folder, 'bin'), { recursive: true });
    this.write('package.json', { name: 'x', type: 'module', engines: { node: `>=${neededNode}` } });
    this.lock('package-lock.json', { 'node_modules/a': { version: '1.0.0', integrity: 'sha512-a' } });
    this.lock('scripts/node/package-lock.json', {
      [`node_modules/${ownNode}`]: { version: neededNode, optional: true },
    });
    writeFileSync(join(this.folder, 'npm-cli.js'), FAKE_NPM);
  }

  write(path: string, value: unknown): void {
    writeFileSync(join(this.folder, path), JSON.stringify(value));
  }

  lock(path: string, packages: Readonly<Record<string, unknown>>): void {
    this.write(path, { packages: { '': {}, ...packages } });
  }

  run(script: string, environment: Readonly<Record<string, string>> = {}): Ended {
    const log = join(this.folder, 'log');
    writeFileSync(log, '');
    const fakes = {
      npm_execpath: join(this.folder, 'npm-cli.js'),
      FAKE_LOG: log,
      FAKE_CACHE: join(this.folder, 'cache'),
    };
    const env = { PATH: '', HOME: this.folder, ...fakes, ...environment };
    const child = spawnSync(process.execPath, [join(this.folder, script)], { encoding: 'utf8', env });
    const installs = readFileSync(log, 'utf8').split('\n').slice(0, -1);
    return { status: child.status, said: child.stderr, installs };
  }

  setup(environment?: Readonly<Record<string, string>>): Ended {
    return this.run('scripts/setup.js', environment);
  }

  [Symbol.dispose](): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}

test('installs what is locked once, without running scripts of packages, then does nothing', () => {
  using checkout = new Checkout('18.0');
  const first = checkout.setup();
  assert.equal(first.status, 0, first.said);
  assert.equal(first.installs.length, 1);
  assert.match(first.installs[0] ?? '', new RegExp(`^ci --prefix ${checkout.folder} --ignore-scripts `));
  assert.equal(existsSync(join(checkout.folder, 'node_modules/.bin/node')), false);
  assert.deepEqual(checkout.setup(), { status: 0, said: '', installs: [] });
});

test('installs again when the lock file asks for something else, or when an installation was cut off', () => {
  using checkout = new Checkout('18.0');
  checkout.setup();
  checkout.lock('package-lock.json', { 'node_modules/a': { version: '1.0.1', integrity: 'sha512-b' } });
  assert.equal(checkout.setup().installs.length, 1);
  checkout.lock('package-lock.json', { 'node_modules/a': { version: '1.0.1', integrity: 'sha512-c' } });
  assert.equal(checkout.setup().installs.length, 1);
  rmSync(join(checkout.folder, 'node_modules/.package-lock.json'));
  assert.equal(checkout.setup().installs.length, 1);
  assert.equal(checkout.setup().installs.length, 0);
});

test('a package for this machine that npm had left out is missing; one for another machine is not', () => {
  using checkout = new Checkout('18.0');
  const locked = { version: '1.0.0', integrity: 'sha512-a', optional: true };
  const here = { ...locked, os: [process.platform], cpu: [process.arch] };
  checkout.setup();
  checkout.lock('package-lock.json', {
    'node_modules/a': locked,
    'node_modules/b': { ...here, os: ['aix'] },
    'node_modules/c': { ...here, cpu: ['mips'] },
    'node_modules/d': { ...here, libc: ['none'] },
  });
  assert.equal(checkout.setup().installs.length, 0);
  checkout.lock('package-lock.json', { 'node_modules/a': locked, 'node_modules/b': here });
  assert.equal(checkout.setup().installs.length, 1);
});

test('brings a Node where this one is too old, and links it to where scripts find it first', () => {
  using checkout = new Checkout('99.1');
  const first = checkout.setup();
  assert.equal(first.status, 0, first.said);
  assert.match(first.installs[0] ?? '', /^ci --prefix \S+scripts\/node /);
  assert.equal(first.installs.length, 2);
  assert.match(first.said, /installing Node 99\.1 for this checkout \(this machine has /);
  const link = join(checkout.folder, 'node_modules/.bin/node');
  assert.equal(spawnSync(link, ['--version']).status, 0);
  assert.deepEqual(checkout.setup(), { status: 0, said: '', installs: [] });
  rmSync(link);
  assert.deepEqual(checkout.setup(), { status: 0, said: '', installs: [] });
  assert.equal(spawnSync(link, ['--version']).status, 0, 'linked again after an npm install has pruned it');
});

test('says what to install where no Node can be brought, or where the one that was brought does not run', () => {
  using checkout = new Checkout('99.1');
  const broken = checkout.setup({ FAKE_NODE: 'exit 127' });
  assert.equal(broken.status, 1);
  assert.match(broken.said, /needs Node 99\.1 or newer, and this is v\d.*does not run on this system/);
  const unreachable = checkout.setup({ FAKE_UNREACHABLE: '1' });
  assert.equal(unreachable.status, 1);
  assert.match(unreachable.said, /could not be fetched from the registry/);
  checkout.lock('scripts/node/package-lock.json', {});
  const absent = checkout.setup();
  assert.equal(absent.status, 1);
  assert.match(absent.said, /needs Node 99\.1 or newer.*none can be brought/s);
  assert.equal(absent.installs.length, 0);
});

test('a failing or missing npm ends with one line that says so', () => {
  using checkout = new Checkout('18.0');
  const failing = checkout.setup({ FAKE_STATUS: '1' });
  assert.equal(failing.status, 1);
  assert.match(failing.said, /npm could not install the packages/);
  const missing = checkout.setup({ npm_execpath: '' });
  assert.equal(missing.status, 1);
  assert.match(missing.said, /npm could not be started/);
});

test('keeps a cache of its own where that of npm can’t be written', () => {
  using checkout = new Checkout('18.0');
  const { installs } = checkout.setup({ FAKE_CACHE: join(checkout.folder, 'package.json', 'cache') });
  assert.match(installs[0] ?? '', / --cache \S+\/\.cache\/npm$/);
});

test('the command says in one line that it needs a newer Node', () => {
  using checkout = new Checkout('99.1');
  const { status, said } = checkout.run('bin/tidemark.js');
  assert.equal(status, 1);
  assert.match(said, /^tidemark needs Node 99\.1 or newer; \S+ is v\d[\d.]+\.\n$/);
});
