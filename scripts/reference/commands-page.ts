import type { ArgumentSpec, CommandSpec, OptionSpec } from '../../src/cli/command.ts';
import { commandTable } from '../../src/cli/command-table.ts';
import { optionFlag } from '../../src/cli/option-flag.ts';
import { globalOptions } from '../../src/cli/table/global-options.ts';
import { GENERATED, row } from './markdown.ts';

export function commandsPage(): string {
  const groups = [...new Set(commandTable.map(({ spec }) => spec.group))];
  return [
    GENERATED,
    '# Commands',
    '',
    'Every command has `--help`. With `--json` standard output carries one JSON object a line: `progress` on long work, then one `result` or `error` as the last line. A result has `type`, `command`, `durationMs`, `warnings` and the fields that are named below; times are ISO 8601 in UTC, sizes and durations carry their unit. Fields may be added; one that is here keeps its meaning. Exit statuses and error codes are in [errors.md](errors.md).',
    '',
    '## Options of every command',
    '',
    ...optionTable(globalOptions),
    ...groups.flatMap((group) => [
      `## ${group}`,
      '',
      ...commandTable.filter(({ spec }) => spec.group === group).flatMap(({ spec }) => commandSection(spec)),
    ]),
  ].join('\n');
}

function commandSection(spec: CommandSpec): readonly string[] {
  const args = Object.values(spec.arguments);
  const usage = ['tidemark', spec.name, ...args.map(argumentText)].join(' ');
  return [
    `### ${spec.name}`,
    '',
    `\`${usage}\`: ${spec.says}.`,
    '',
    ...(spec.details ?? []).flatMap((paragraph) => [paragraph, '']),
    ...args.map(({ value, says }) => `- \`${value}\`: ${says}`),
    ...(args.length > 0 ? [''] : []),
    ...optionTable(spec.options),
    `Result: ${spec.result}.`,
    '',
    '```console',
    ...spec.examples.flatMap(({ line, says }) => [`$ ${line}    # ${says}`]),
    '```',
    '',
  ];
}

function optionTable(options: Readonly<Record<string, OptionSpec>>): readonly string[] {
  const rows = Object.entries(options).map(([name, option]) =>
    row(`\`${optionText(name, option)}\``, optionSays(option)),
  );
  return rows.length === 0 ? [] : [row('option', 'does'), row('---', '---'), ...rows, ''];
}

function optionText(name: string, option: OptionSpec): string {
  const flags = [...(option.short === undefined ? [] : [`-${option.short}`]), optionFlag(name)].join(', ');
  return option.kind === 'flag' ? flags : `${flags} ${option.value}`;
}

function optionSays(option: OptionSpec): string {
  return option.kind === 'choice' ? `${option.says}; one of ${option.choices.join(', ')}` : option.says;
}

function argumentText({ kind, value }: ArgumentSpec): string {
  const texts = { one: value, optional: `[${value}]`, any: `[${value}…]`, some: `${value}…` };
  return texts[kind];
}
