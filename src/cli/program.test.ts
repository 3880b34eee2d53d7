import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TidemarkError } from '../core/errors.ts';
import { commandTable } from './command-table.ts';
import { parseArguments } from './program.ts';
import type { Parsed } from './program.ts';

const LAYOUT = { columns: 100, colours: false };

function parse(line: string): Parsed {
  return parseArguments(line === '' ? [] : line.split(' '), '1.2.3', LAYOUT);
}

function command(line: string): Extract<Parsed, { kind: 'command' }> {
  const parsed = parse(line);
  assert.ok(parsed.kind === 'command', `${line}: help`);
  return parsed;
}

function complaint(line: string): string {
  try {
    parse(line);
  } catch (error) {
    if (error instanceof TidemarkError && error.code === 'USAGE') return `${error.message} | ${error.hint}`;
    throw error;
  }
  return 'none';
}

test('arguments and options come out by name, complete and converted', () => {
  const { entry, input, globals } = command(
    '--json backup a b --tag x --limit-upload 8MiB --tag y --name n --no-color',
  );
  assert.equal(entry.spec.name, 'backup');
  assert.deepEqual(input.args, { stores: ['a', 'b'] });
  assert.deepEqual(input.options, {
    name: 'n',
    tag: ['x', 'y'],
    dryRun: false,
    allowEmpty: [],
    takeOver: [],
    oneFileSystem: false,
  });
  assert.deepEqual(
    [globals.json, globals.quiet, globals.noColor, globals.limitUpload, globals.file, globals.logLevel],
    [true, false, true, 8 * 2 ** 20, undefined, undefined],
  );
});

test('options without a value have their empty one', () => {
  const { input, globals } = command('restore');
  assert.deepEqual(input.args, { stores: [] });
  assert.deepEqual(input.options, {
    to: undefined,
    perStore: false,
    into: [],
    only: [],
    replace: [],
    yes: false,
    resume: false,
    undo: false,
    discard: false,
    skipDamaged: false,
    standby: false,
  });
  assert.equal(globals.noColor, false);
});

test('a share is between 0 and 1, and a word after -- is an argument', () => {
  assert.equal(command('verify --sample 10%').input.options['sample'], 0.1);
  assert.deepEqual(command('backup -- --json').input.args, { stores: ['--json'] });
});

test('global options are taken before and after the command, also of a nested one', () => {
  for (const line of ['-f a.yaml config check', 'config -f a.yaml check', 'config check -f a.yaml']) {
    assert.equal(command(line).globals.file, 'a.yaml', line);
  }
});

test('what fits no command is explained in one line', () => {
  const table: Readonly<Record<string, string>> = {
    '': 'which command? | See tidemark --help.',
    keys: 'tidemark keys: which command? | See tidemark keys --help.',
    bakup: "unknown command 'bakup' (Did you mean backup?) | See tidemark --help.",
    'backup --nmae x': "unknown option '--nmae' (Did you mean --name?) | See tidemark backup --help.",
    'ls latest': "missing required argument 'STORE' | See tidemark ls --help.",
    'marks extra':
      "too many arguments for 'marks'. Expected 0 arguments but got 1: extra. | See tidemark marks --help.",
    'verify --sample 0%':
      "option '--sample <SHARE>' argument '0%' is invalid. Expected a share such as 10%. | See tidemark verify --help.",
    'verify --sample 101%':
      "option '--sample <SHARE>' argument '101%' is invalid. Expected a share such as 10%. | See tidemark verify --help.",
    'marks --last 0':
      "option '--last <COUNT>' argument '0' is invalid. Expected a number above 0. | See tidemark marks --help.",
    'marks --limit-download 5':
      "option '--limit-download <SIZE>' argument '5' is invalid. Expected a size such as 512KiB or 10MiB. | See tidemark marks --help.",
    'keys rotate --all x': 'tidemark keys rotate is not in this version | tidemark --help lists what is.',
  };
  for (const [line, message] of Object.entries(table)) assert.equal(complaint(line), message, line);
});

test('every command has help with its arguments, options and examples', () => {
  for (const { spec } of commandTable) {
    const parsed = parse(`${spec.name} --help`);
    assert.ok(parsed.kind === 'text', spec.name);
    assert.ok(spec.examples.length > 0, `${spec.name} has no example`);
    for (const { line } of spec.examples) {
      assert.ok(parsed.text.includes(line), `${spec.name}: ${line}`);
      assert.match(line, /^(?:source <\()?tidemark /);
    }
    for (const { value } of Object.values(spec.arguments)) {
      assert.ok(parsed.text.includes(value), `${spec.name}: ${value}`);
    }
  }
});

test('every example of the help is a command line that is understood', () => {
  for (const { line } of commandTable.flatMap(({ spec }) => spec.examples)) {
    const words =
      line
        .replace(/^source <\(|\)$/g, '')
        .replace(/ > .*/, '')
        .match(/"[^"]*"|'[^']*'|\S+/g) ?? [];
    const argv = words.slice(1).map((word) => word.replace(/^(["'])(.*)\1$/, '$2'));
    assert.equal(parseArguments(argv, '1.2.3', LAYOUT).kind, 'command', line);
  }
});

test('help and the version are texts', () => {
  assert.deepEqual(parse('--version'), { kind: 'text', text: 'tidemark 1.2.3\n' });
  for (const line of ['--help', 'help', 'help backup', 'backup -h', 'keys --help']) {
    const parsed = parse(line);
    assert.ok(parsed.kind === 'text' && parsed.text.startsWith('Usage: tidemark'), line);
  }
});
