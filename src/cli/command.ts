import type { Progress } from '../app/progress.ts';
import type { CommandContext } from './context.ts';
import type { Printer } from './printer.ts';

/**
 * What the command line takes, as data: from it come the parser, the help, the completions and the reference page. Loading it is
 * cheap, so no file of the table imports more than types.
 */
export type OptionSpec = { readonly says: string; readonly short?: string | undefined } & (
  | { readonly kind: 'flag' }
  | { readonly kind: 'choice'; readonly value: string; readonly choices: readonly string[] }
  | { readonly kind: 'text' | 'list' | 'size' | 'count' | 'percent'; readonly value: string }
);

/** How often an argument is given: once, at most once, any number of times, at least once. */
export type ArgumentSpec = {
  readonly kind: 'one' | 'optional' | 'any' | 'some';
  readonly value: string;
  readonly says: string;
  readonly choices?: readonly string[] | undefined;
};

export type Example = { readonly line: string; readonly says: string };

export type CommandSpec = {
  /** `backup`, or `keys list` for one under `keys`. */
  readonly name: string;
  readonly group: string;
  /** One line for lists. */
  readonly says: string;
  /** More, in paragraphs, for the command's own help. */
  readonly details?: readonly string[] | undefined;
  /** What is read before the command is loaded. With `--repository` and without `-f` no manifest is. */
  readonly needs: 'manifest' | 'optional manifest' | 'nothing';
  readonly arguments: Readonly<Record<string, ArgumentSpec>>;
  readonly options: Readonly<Record<string, OptionSpec>>;
  /** The fields of the result with --json, besides `type`, `command`, `durationMs` and `warnings`. */
  readonly result: string;
  readonly examples: readonly Example[];
};

type OptionValue<Spec extends OptionSpec> = Spec['kind'] extends 'flag'
  ? boolean
  : Spec['kind'] extends 'list'
    ? readonly string[]
    : Spec['kind'] extends 'size' | 'count' | 'percent'
      ? number | undefined
      : Spec extends { readonly choices: readonly (infer Choice)[] }
        ? Choice | undefined
        : string | undefined;

type ArgumentValue<Spec extends ArgumentSpec> = Spec['kind'] extends 'one'
  ? string
  : Spec['kind'] extends 'optional'
    ? string | undefined
    : readonly string[];

/** The values of options by their camel-case name. A percentage is a share from 0 to 1, a size is in bytes. */
export type OptionsOf<Specs extends Readonly<Record<string, OptionSpec>>> = {
  readonly [Name in keyof Specs]: OptionValue<Specs[Name]>;
};

export type ArgumentsOf<Spec extends CommandSpec> = {
  readonly [Name in keyof Spec['arguments']]: ArgumentValue<Spec['arguments'][Name]>;
};

/**
 * How a command ended. `warnings` are told to the operator and in the result; `status` is the exit status where the result means
 * another than 0: incomplete, findings, damage.
 */
export type CommandEnd<Result> = {
  readonly result: Result;
  readonly warnings?: readonly string[] | undefined;
  readonly status?: number | undefined;
  /** Print as with --quiet. */
  readonly quiet?: boolean | undefined;
};

/** One file of `commands/`: what it does, and how its result reads as text. */
export type Command<Spec extends CommandSpec, Result> = {
  run(
    context: CommandContext,
    args: ArgumentsOf<Spec>,
    options: OptionsOf<Spec['options']>,
  ): Promise<CommandEnd<Result>>;
  /** Nothing in it may fail but the reading of what is streamed. */
  print(result: Result, printer: Printer): void | Promise<void>;
  /** Whether the result only reports on work that went as it should, or on how it went: --quiet leaves it out. Absent: it never does. */
  isReport?(result: Result): boolean;
  /** What of a report has to be told even with --quiet; it goes to standard error. */
  printTrouble?(result: Result, printer: Printer): void;
};

/** Progress as `--json` prints it. */
export type ProgressLine = Progress & { readonly bytesPerSecond: number; readonly leftMs?: number | undefined };
