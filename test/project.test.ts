import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

type Locked = {
  readonly integrity?: string;
  readonly resolved?: string;
  readonly optional?: boolean;
  readonly os?: readonly string[];
  readonly libc?: readonly string[];
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly devDependencies?: Readonly<Record<string, string>>;
};
type Manifest = {
  readonly scripts: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
  readonly dependencies: Readonly<Record<string, string>>;
  readonly devDependencies: Readonly<Record<string, string>>;
};

const root = join(import.meta.dirname, '..');
const read = (path: string): string => readFileSync(join(root, path), 'utf8');
const manifest = JSON.parse(read('package.json')) as Manifest;

function readLock(path: string): readonly (readonly [string, Locked])[] {
  return Object.entries((JSON.parse(read(path)) as { packages: Record<string, Locked> }).packages);
}

for (const path of ['package-lock.json', 'scripts/node/package-lock.json']) {
  test(`${path} names no registry, and has a digest of all that is installed on Linux`, () => {
    for (const [name, { resolved, integrity, os, libc }] of readLock(path)) {
      assert.equal(resolved, undefined, name);
      const elsewhere = (os !== undefined && !os.includes('linux')) || libc?.includes('musl');
      const anotherProcessor = /-(?:arm|ppc64|riscv64|s390x)(?:-\w+)?$/.test(name);
      if (name !== '' && !elsewhere && !anotherProcessor) assert.match(integrity ?? 'none', /^sha512-/, name);
    }
  });
}

test('the lock file is of this package.json', () => {
  const [, locked] = readLock('package-lock.json').find(([name]) => name === '') ?? [];
  assert.deepEqual(locked?.dependencies, manifest.dependencies);
  assert.deepEqual(locked.devDependencies, manifest.devDependencies);
});

test('a Node is brought to the checkout only, never to who installs the package', () => {
  const installed = { ...manifest.dependencies, ...manifest.optionalDependencies };
  assert.deepEqual(
    Object.keys(installed).filter((name) => /^node(?:-|$)/.test(name)),
    [],
  );
});

test('each script sets up first, in a script of its own, so that the shell finds the Node that was brought', () => {
  const names = Object.keys(manifest.scripts).filter((name) => !/^pre|^setup$/.test(name));
  assert.ok(names.length > 5);
  for (const name of names) assert.equal(manifest.scripts[`pre${name}`], 'node scripts/setup.js', name);
});
