import type { OptionSpec } from './command.ts';
import { commandTable } from './command-table.ts';
import { optionFlag } from './option-flag.ts';
import { globalOptions } from './table/global-options.ts';
import type { completionShells } from './table/setting-up.ts';

type Word = { readonly word: string; readonly says: string };

/** What can follow some words of the command line: '' is its beginning, `keys` and `keys list` are further on. */
type Step = { readonly after: string; readonly words: readonly Word[]; readonly options: readonly Word[] };

/** Completions are made of the command table alone: the scripts start nothing when a key is pressed. */
export const completionScripts: Readonly<Record<(typeof completionShells)[number], () => string>> = {
  bash: bashScript,
  zsh: zshScript,
  fish: fishScript,
};

const PLACES = ['DIR', 'FILE', 'URL', 'DIR|STORE=URL'];

function bashScript(): string {
  const steps = allSteps();
  const words = ({ words: commands, options }: Step): string =>
    [...commands, ...options].map(({ word }) => word).join(' ');
  const cases = steps.map((step) => `    ${quote(step.after)}) words=${quote(words(step))} ;;`);
  return `_tidemark() {
  local word=\${COMP_WORDS[COMP_CWORD]} before=\${COMP_WORDS[COMP_CWORD-1]} path= words= part
  COMPREPLY=()
  case $before in
    ${flagsWithValue((option) => isPlace(option)).join('|')}) COMPREPLY=($(compgen -f -- "$word")); return ;;
    ${flagsWithValue((option) => !isPlace(option)).join('|')}) return ;;
  esac
  for part in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case "$path $part" in
      ${pathPatterns(steps)}) path=\${path:+$path }$part ;;
    esac
  done
  case $path in
${cases.join('\n')}
  esac
  COMPREPLY=($(compgen -W "$words" -- "$word"))
}
complete -o default -F _tidemark tidemark
`;
}

function zshScript(): string {
  const steps = allSteps();
  const list = (words: readonly Word[]): string =>
    words.map(({ word, says }) => quote(`${word.replaceAll(':', '\\:')}:${says}`)).join(' ');
  const cases = steps.map(
    ({ after, words, options }) => `    ${quote(after)}) next=(${list(words)}) options=(${list(options)}) ;;`,
  );
  return `#compdef tidemark
_tidemark() {
  local path_so_far= part
  local -a next options
  for part in \${words[2,CURRENT-1]}; do
    case "$path_so_far $part" in
      ${pathPatterns(steps)}) path_so_far=\${path_so_far:+$path_so_far }$part ;;
    esac
  done
  case $path_so_far in
${cases.join('\n')}
  esac
  if [[ $PREFIX == -* ]]; then
    _describe option options
  elif (( $#next )); then
    _describe command next
  else
    _files
  fi
}
compdef _tidemark tidemark
`;
}

function fishScript(): string {
  const lines = ['complete -c tidemark -f', ...fishOptions(globalOptions, undefined)];
  for (const { after, words } of allSteps()) {
    const condition = after === '' ? '__fish_use_subcommand' : fishSeen(after);
    for (const { word, says } of words) {
      lines.push(`complete -c tidemark -n ${quote(condition)} -a ${quote(word)} -d ${quote(says)}`);
    }
  }
  for (const { spec } of commandTable) lines.push(...fishOptions(spec.options, fishSeen(spec.name)));
  return `${lines.join('\n')}\n`;
}

function fishSeen(after: string): string {
  return after
    .split(' ')
    .map((word) => `__fish_seen_subcommand_from ${word}`)
    .join('; and ');
}

function fishOptions(options: Readonly<Record<string, OptionSpec>>, condition: string | undefined): readonly string[] {
  return Object.entries(options).map(([name, option]) =>
    [
      'complete -c tidemark',
      condition === undefined ? '' : `-n ${quote(condition)}`,
      `-l ${optionFlag(name).slice(2)}`,
      option.short === undefined ? '' : `-s ${option.short}`,
      option.kind === 'flag' ? '' : isPlace(option) ? '-r -F' : '-x',
      option.kind === 'choice' ? `-a ${quote(option.choices.join(' '))}` : '',
      `-d ${quote(option.says)}`,
    ]
      .filter((part) => part !== '')
      .join(' '),
  );
}

function allSteps(): readonly Step[] {
  const options = optionWords(globalOptions);
  const first = new Map<string, Word>();
  const second = new Map<string, Word[]>();
  const steps: Step[] = [];
  for (const { spec } of commandTable) {
    const [parent = '', child] = spec.name.split(' ');
    first.set(parent, { word: parent, says: child === undefined ? spec.says : 'more commands' });
    if (child !== undefined) second.set(parent, [...(second.get(parent) ?? []), { word: child, says: spec.says }]);
    const words = Object.values(spec.arguments).flatMap(({ choices = [], says }) =>
      choices.map((word) => ({ word, says })),
    );
    steps.push({ after: spec.name, words, options: [...optionWords(spec.options), ...options] });
  }
  for (const [after, words] of second) steps.push({ after, words, options });
  return [{ after: '', words: [...first.values()], options }, ...steps];
}

/** Patterns of a shell's case for the words so far and the next one, joined: they tell commands from values. */
function pathPatterns(steps: readonly Step[]): string {
  const paths = steps.map(({ after }) => after).filter((after) => after !== '');
  return paths.map((path) => quote(path.includes(' ') ? path : ` ${path}`)).join('|');
}

function optionWords(options: Readonly<Record<string, OptionSpec>>): readonly Word[] {
  return Object.entries(options).map(([name, { says }]) => ({ word: optionFlag(name), says }));
}

function flagsWithValue(wanted: (option: OptionSpec) => boolean): readonly string[] {
  const all = [globalOptions, ...commandTable.map(({ spec }) => spec.options)].flatMap((options) =>
    Object.entries<OptionSpec>(options),
  );
  const flags = all
    .filter(([, option]) => option.kind !== 'flag' && wanted(option))
    .flatMap(([name, { short }]) => [optionFlag(name), ...(short === undefined ? [] : [`-${short}`])]);
  return [...new Set(flags)];
}

function isPlace(option: OptionSpec): boolean {
  return option.kind !== 'flag' && PLACES.includes(option.value);
}

function quote(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
