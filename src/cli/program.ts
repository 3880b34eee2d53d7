import { Argument, Command, CommanderError, InvalidArgumentError, Option } from 'commander';
import { TidemarkError } from '../core/errors.ts';
import { parseSize } from '../core/units.ts';
import type { ArgumentSpec, CommandSpec, OptionSpec } from './command.ts';
import { commandTable, laterCommands } from './command-table.ts';
import type { RawInput, TableEntry } from './command-table.ts';
import type { GlobalOptions } from './context.ts';
import { exitStatuses } from './exit-status.ts';
import { optionFlag } from './option-flag.ts';
import { globalOptions } from './table/global-options.ts';

/** A command to run; or a text that was asked for, which is help or the version. */
export type Parsed = ParsedCommand | { readonly kind: 'text'; readonly text: string };

export type ParsedCommand = {
  readonly kind: 'command';
  readonly entry: TableEntry;
  readonly input: RawInput;
  readonly globals: GlobalOptions;
};

/** Terminal facts that the help is laid out for. */
export type HelpLayout = { readonly columns: number; readonly colours: boolean };

/** What the arguments of the command line ask for. @throws USAGE when they fit no command */
export function parseArguments(argv: readonly string[], version: string, layout: HelpLayout): Parsed {
  let text = '';
  let complaint = '';
  let chosen: Parsed | undefined;
  const program = createProgram(version, (parsed) => {
    chosen = parsed;
  });
  forAll(program, (command) =>
    command.exitOverride().configureOutput({
      writeOut: (part) => {
        text += part;
      },
      writeErr: (part) => {
        complaint += part;
      },
      getOutHelpWidth: () => layout.columns,
      getErrHelpWidth: () => layout.columns,
      getOutHasColors: () => layout.colours,
      getErrHasColors: () => layout.colours,
    }),
  );
  try {
    program.parse(argv, { from: 'user' });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.exitCode !== 0 || text === '') throw usageError(error, complaint, program, argv);
  }
  return chosen ?? { kind: 'text', text };
}

function createProgram(version: string, choose: (parsed: Parsed) => void): Command {
  const program = new Command('tidemark');
  program
    .description('Backs up everything an application stores, and restores it together to one moment.')
    .version(`tidemark ${version}`, '-V, --version', 'print the version')
    .helpOption('-h, --help', 'print help')
    .helpCommand('help [COMMAND]', 'print help for a command')
    .usage('COMMAND [OPTION…] [ARGUMENT…]')
    .addHelpText('after', () => `\n${statusHelp()}\nEvery command has --help with examples.`)
    .showSuggestionAfterError(true);
  for (const [name, spec] of Object.entries(globalOptions)) program.addOption(optionOf(name, spec));
  for (const entry of commandTable) addCommand(program, entry, choose);
  for (const name of laterCommands) addLaterCommand(program, name);
  return program;
}

function addCommand(program: Command, entry: TableEntry, choose: (parsed: Parsed) => void): void {
  const { spec } = entry;
  const command = placeOf(program, spec.name, spec.group);
  command.summary(spec.says).description(descriptionOf(spec));
  if (command.parent === program) command.helpGroup(`${spec.group}:`);
  for (const argument of Object.values(spec.arguments)) command.addArgument(argumentOf(argument));
  for (const [name, option] of Object.entries(spec.options)) command.addOption(optionOf(name, option));
  command.addHelpText('after', () => `\n${exampleHelp(spec)}\nOptions of every command: tidemark --help`);
  command.action(() => {
    const values: Readonly<Record<string, unknown>> = command.optsWithGlobals();
    const args = Object.fromEntries(
      Object.keys(spec.arguments).map((name, index) => [name, command.processedArgs[index] as unknown]),
    );
    const options = valuesOf(spec.options, values);
    // Built by the same specifications as the type.
    choose({
      kind: 'command',
      entry,
      input: { args, options },
      globals: valuesOf(globalOptions, values) as GlobalOptions,
    });
  });
}

/** The command of this name, created under its parent: `keys list` is `list` under `keys`. */
function placeOf(program: Command, name: string, group: string): Command {
  const [first = '', second] = name.split(' ');
  if (second === undefined) return program.command(first);
  const parent =
    program.commands.find((command) => command.name() === first) ?? program.command(first).helpGroup(`${group}:`);
  parent
    .helpCommand(false)
    .usage('COMMAND')
    .description(PARENTS[first] ?? first);
  return parent.command(second);
}

const PARENTS: Readonly<Record<string, string>> = {
  keys: 'list, add and remove what opens the repository',
  config: 'check the manifest, or print its schema',
};

function addLaterCommand(program: Command, name: string): void {
  const [first = '', second] = name.split(' ');
  const parent =
    second === undefined ? program : (program.commands.find((command) => command.name() === first) ?? program);
  parent
    .command(second ?? first, { hidden: true })
    .argument('[ANYTHING...]')
    .allowUnknownOption()
    .helpOption(false)
    .action(() => {
      throw new TidemarkError('USAGE', `tidemark ${name} is not in this version`, {
        hint: 'tidemark --help lists what is.',
      });
    });
}

function optionOf(name: string, spec: OptionSpec): Option {
  const flags = `${spec.short === undefined ? '' : `-${spec.short}, `}${optionFlag(name)}`;
  if (spec.kind === 'flag') return new Option(flags, spec.says);
  const option = new Option(`${flags} <${spec.value}>`, spec.says);
  switch (spec.kind) {
    case 'text':
      return option.argParser((text) => text);
    case 'choice':
      return option.choices(spec.choices);
    case 'list':
      return option.argParser((text, before: unknown) => [
        ...(Array.isArray(before) ? (before as unknown[]) : []),
        text,
      ]);
    case 'size':
      return option.argParser((text) => parsed(parseSize(text), 'Expected a size such as 512KiB or 10MiB.'));
    case 'count':
      return option.argParser((text) =>
        parsed(/^[0-9]{1,9}$/.test(text) && Number(text) > 0 ? Number(text) : undefined, 'Expected a number above 0.'),
      );
    case 'percent':
      return option.argParser((text) => parsed(parseShare(text), 'Expected a share such as 10%.'));
  }
  return spec satisfies never;
}

function argumentOf({ kind, value, says, choices }: ArgumentSpec): Argument {
  const names = { one: `<${value}>`, optional: `[${value}]`, any: `[${value}...]`, some: `<${value}...>` };
  const argument = new Argument(names[kind], says);
  return choices === undefined ? argument : argument.choices(choices);
}

/** Every value that a specification names: a flag is false and a list empty where they were not given. */
function valuesOf(
  specs: Readonly<Record<string, OptionSpec>>,
  given: Readonly<Record<string, unknown>>,
): Readonly<Record<string, unknown>> {
  return Object.fromEntries(Object.entries(specs).map(([name, spec]) => [name, valueOf(name, spec, given)]));
}

function valueOf(name: string, spec: OptionSpec, given: Readonly<Record<string, unknown>>): unknown {
  if (spec.kind === 'list') return given[name] ?? [];
  if (spec.kind !== 'flag') return given[name];
  // The parser keeps `--no-x` as x: false.
  return /^no[A-Z]/.test(name)
    ? given[`${name.charAt(2).toLowerCase()}${name.slice(3)}`] === false
    : given[name] === true;
}

function parsed<T>(value: T | undefined, expected: string): T {
  if (value === undefined) throw new InvalidArgumentError(expected);
  return value;
}

function parseShare(text: string): number | undefined {
  const percent = /^[0-9]{1,3}(?:\.[0-9]{1,6})?%$/.test(text) ? Number(text.slice(0, -1)) : 0;
  return percent > 0 && percent <= 100 ? percent / 100 : undefined;
}

/** The parser's complaint in one line, with its suggestion. */
function usageError(
  error: CommanderError,
  complaint: string,
  program: Command,
  argv: readonly string[],
): TidemarkError {
  const path = program.commands.find((command) => argv.includes(command.name()))?.name();
  const hint = `See tidemark ${path === undefined ? '' : `${path} `}--help.`;
  if (!complaint.startsWith('error:')) {
    return new TidemarkError('USAGE', path === undefined ? 'which command?' : `tidemark ${path}: which command?`, {
      hint,
    });
  }
  const message = complaint
    .replace(/^error: /, '')
    .trim()
    .replaceAll(/\s*\n\s*/g, ' ');
  return new TidemarkError('USAGE', message, { hint, cause: error });
}

function descriptionOf(spec: CommandSpec): string {
  const says = `${spec.says.charAt(0).toUpperCase()}${spec.says.slice(1)}.`;
  return [says, ...(spec.details ?? [])].join('\n\n');
}

function exampleHelp({ examples }: CommandSpec): string {
  return `Examples:\n${examples.map(({ line, says }) => `  ${line}\n      ${says}`).join('\n')}\n`;
}

function statusHelp(): string {
  return `Exit status:\n${exitStatuses.map(([status, says]) => `  ${status.padEnd(10)}${says}`).join('\n')}\n`;
}

function forAll(command: Command, visit: (command: Command) => void): void {
  visit(command);
  for (const child of command.commands) forAll(child, visit);
}
