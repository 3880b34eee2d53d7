import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';

const main = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));

type Ended = { readonly status: number | null; readonly out: string; readonly err: string };

let folder = '';

before(() => {
  folder = mkdtempSync(join(tmpdir(), 'tidemark-cli-'));
  mkdirSync(join(folder, 'elsewhere'));
  writeFileSync(
    join(folder, 'tidemark.yaml'),
    'application: shop\nrepository: ./backups\nstores:\n  uploads: files:./data\n',
  );
  writeFileSync(
    join(folder, 'wrong.yaml'),
    'application: Shop\nrepository: ./backups\nstores:\n  uploads: file:./data\n',
  );
});

after(() => rmSync(folder, { recursive: true }));

function environment(more: Readonly<Record<string, string>> = {}): NodeJS.ProcessEnv {
  return { PATH: process.env['PATH'] ?? '', HOME: folder, ...more };
}

function tidemark(args: readonly string[], more: Readonly<Record<string, string>> = {}, cwd = folder): Ended {
  const { status, stdout, stderr } = spawnSync(process.execPath, [main, ...args], {
    cwd,
    env: environment(more),
    encoding: 'utf8',
    input: '',
    timeout: 60_000,
  });
  return { status, out: stdout, err: stderr };
}

function shell(program: string, script: string): Ended {
  const { status, stdout, stderr } = spawnSync(program, ['-c', script], {
    cwd: folder,
    env: environment(),
    encoding: 'utf8',
    timeout: 60_000,
  });
  return { status, out: stdout, err: stderr };
}

function lines(text: string): readonly unknown[] {
  return text
    .trimEnd()
    .split('\n')
    .map((line): unknown => JSON.parse(line));
}

test('help and version are on standard output, with status 0', () => {
  const help = tidemark(['--help']);
  assert.deepEqual([help.status, help.err], [0, '']);
  for (const part of ['Usage: tidemark', 'backup', 'Exit status:', '130, 143']) {
    assert.ok(help.out.includes(part), part);
  }
  const version = tidemark(['version']);
  assert.match(version.out, /^tidemark \d+\.\d+\.\d+\nnode v/);
  const [line] = lines(tidemark(['version', '--json']).out);
  assert.ok(
    typeof line === 'object' && line !== null && 'type' in line && line.type === 'result' && 'durationMs' in line,
  );
});

test('a wrong command line is status 2, one error with what was meant', () => {
  assert.deepEqual(tidemark(['backup', '--dry-rnu']), {
    status: 2,
    out: '',
    err: "error: unknown option '--dry-rnu' (Did you mean --dry-run?)\nhint: See tidemark backup --help.\n",
  });
  assert.equal(tidemark([]).status, 2);
});

test('with --json an error is the last line of standard output, and text on standard error', () => {
  const { status, out, err } = tidemark(['--json', 'bakup']);
  assert.equal(status, 2);
  assert.match(err, /^error: unknown command 'bakup'/);
  assert.deepEqual(lines(out), [
    {
      type: 'error',
      code: 'USAGE',
      message: "unknown command 'bakup' (Did you mean backup?)",
      hint: 'See tidemark --help.',
      warnings: [],
    },
  ]);
});

test('a right manifest is said to be right', () => {
  const { status, out } = tidemark(['config', 'check']);
  assert.deepEqual(
    [status, out],
    [0, `No mistakes: application shop, 1 store, repository ${folder}/backups\n  uploads  files:${folder}/data\n`],
  );
});

test('mistakes in the manifest are status 2, a line each with its place', () => {
  const expected = [
    'wrong.yaml:1:14: application: expected a name made of a-z, 0-9 and -, at most 63, found "Shop"',
    'wrong.yaml:4:12: stores.uploads: file: is unknown; did you mean files:?',
  ];
  assert.deepEqual(tidemark(['config', 'check', '-f', 'wrong.yaml']), {
    status: 2,
    out: '',
    err: `${expected.join('\n')}\n`,
  });
  const [error] = lines(tidemark(['config', 'check', '-f', 'wrong.yaml', '--json']).out);
  assert.ok(typeof error === 'object' && error !== null && 'where' in error && 'mistakes' in error);
  assert.deepEqual(error.where, { file: 'wrong.yaml', line: 1, column: 14, key: 'application' });
  assert.ok(Array.isArray(error.mistakes) && error.mistakes.length === 2);
});

test('every command that needs the manifest tells of its mistakes, and one that names a repository does not read it', () => {
  for (const command of ['init', 'backup', 'marks', 'doctor']) {
    const { status, err } = tidemark([command, '-f', 'wrong.yaml']);
    assert.equal(status, 2, command);
    assert.match(err, /^wrong\.yaml:1:14: /, command);
  }
  writeFileSync(join(folder, 'elsewhere', 'tidemark.yaml'), 'not: a manifest\n');
  const { status, err } = tidemark(['marks', '--repository', './nothing'], {}, join(folder, 'elsewhere'));
  assert.equal(status, 7, err);
  assert.equal(tidemark(['marks', '--repository', 's3://bucket']).status, 2);
});

test('no manifest is status 2 and says what to do', () => {
  const { status, err } = tidemark(['config', 'check', '-f', 'nothing.yaml']);
  assert.equal(status, 2);
  assert.match(err, /^error: nothing\.yaml: there is no such manifest\nhint: .*tidemark init/);
});

test('colours are printed only where they are asked for', () => {
  assert.doesNotMatch(tidemark(['--help']).out, /\u001b/);
  assert.doesNotMatch(tidemark(['marks', '--no-color', '-f', 'wrong.yaml'], { FORCE_COLOR: '1' }).err, /\u001b/);
});

test('a reader that goes away is no failure', () => {
  const { status, out, err } = shell(
    'bash',
    `'${process.execPath}' '${main}' config schema | head -c 1 >/dev/null; echo "\${PIPESTATUS[0]}"`,
  );
  assert.deepEqual([status, out, err], [0, '0\n', '']);
});

test('output that can’t be written is a failure', { skip: process.platform !== 'linux' && 'needs /dev/full' }, () => {
  const { status, err } = shell('bash', `'${process.execPath}' '${main}' version > /dev/full`);
  assert.equal(status, 1);
  assert.match(err, /^error: the output can’t be written: ENOSPC/);
});

test('the schema is printed as it lies in the package', () => {
  const { status, out } = tidemark(['config', 'schema']);
  assert.equal(status, 0);
  const schema: unknown = JSON.parse(out);
  assert.ok(typeof schema === 'object' && schema !== null && 'properties' in schema);
});

test('bash completes commands, options and their values', () => {
  const complete = (line: string): readonly string[] => {
    const words = line.split(' ');
    const list = words.map((word) => `'${word}'`).join(' ');
    const { status, out, err } = shell(
      'bash',
      `source <('${process.execPath}' '${main}' completion bash); COMP_WORDS=(${list}); COMP_CWORD=${words.length - 1}; _tidemark; printf '%s\\n' "\${COMPREPLY[@]}"`,
    );
    assert.deepEqual([status, err], [0, ''], line);
    return out.trimEnd().split('\n');
  };
  assert.deepEqual(complete('tidemark ba'), ['backup']);
  assert.deepEqual(complete('tidemark --json keys re'), ['remove']);
  assert.deepEqual(complete('tidemark completion '), ['bash', 'zsh', 'fish'].concat(complete('tidemark completion -')));
  assert.deepEqual(complete('tidemark restore --to latest --in'), ['--into']);
  assert.deepEqual(complete('tidemark -f wro'), ['wrong.yaml']);
  assert.deepEqual(complete('tidemark restore --to '), ['']);
});

test('the scripts for other shells are at least well-formed', (t) => {
  for (const name of ['zsh', 'fish']) {
    const { status, out } = tidemark(['completion', name]);
    assert.equal(status, 0);
    assert.match(out, /complete|compdef/);
    if (spawnSync(name, ['-c', 'true']).status !== 0) {
      t.diagnostic(`${name} is not on this machine`);
      continue;
    }
    writeFileSync(join(folder, `completion.${name}`), out);
    assert.equal(spawnSync(name, ['-n', join(folder, `completion.${name}`)]).status, 0);
  }
});
