import { cronMistake } from './cron.ts';
import { choice, convertedText, keys, list, optional, text, wholeNumber, withDefault, Wrong } from './option-schema.ts';
import type { OptionType } from './option-schema.ts';
import { STORE_NAME } from './store-name.ts';
import { DURATION_PATTERN, parseDuration, parseSize, SIZE_PATTERN } from './units.ts';

/** An application's name: safe in a path, in a key of an object store and on a command line. */
export function name(): OptionType<string> {
  return text({ expects: 'a name made of a-z, 0-9 and -, at most 63', pattern: /^[a-z0-9][a-z0-9-]{0,62}$/ });
}

/** A store's or data set's name: as `name`, and `_` inside. */
export function storeName(): OptionType<string> {
  return text({ expects: 'a name made of a-z, 0-9, - and _, at most 63', pattern: STORE_NAME });
}

/** `5s`, `15m`, `36h`, `14d`; becomes milliseconds. */
export function duration(limits: { readonly atLeast?: string | undefined } = {}): OptionType<number> {
  const leastMs = parseDuration(limits.atLeast ?? '0s') ?? 0;
  return convertedText(
    {
      expects: `a duration such as 5s, 15m, 36h or 14d${limits.atLeast === undefined ? '' : `, at least ${limits.atLeast}`}`,
      pattern: DURATION_PATTERN,
    },
    (written) => atLeast(parseDuration(written), leastMs),
  );
}

/** `512KiB`, `8MiB`, `1GiB`; becomes bytes. */
export function size(limits: { readonly atLeast?: string | undefined } = {}): OptionType<number> {
  const leastBytes = parseSize(limits.atLeast ?? '0B') ?? 0;
  return convertedText(
    {
      expects: `a size such as 512KiB, 8MiB or 1GiB${limits.atLeast === undefined ? '' : `, at least ${limits.atLeast}`}`,
      pattern: SIZE_PATTERN,
    },
    (written) => atLeast(parseSize(written), leastBytes),
  );
}

/** A schedule in cron's five fields. */
export function cron(): OptionType<string> {
  return convertedText({ expects: 'a schedule in quotes such as "0 3 * * *"' }, (written) => {
    const mistake = cronMistake(written);
    return mistake === undefined ? written : new Wrong(mistake);
  });
}

/** A time zone's name, such as Europe/Berlin. */
export function timeZone(): OptionType<string> {
  return convertedText({ expects: 'a time zone such as UTC or Europe/Berlin' }, (written) =>
    isTimeZone(written) ? written : undefined,
  );
}

/** How many of something to keep; 0 for none. */
export function count(): OptionType<number> {
  return wholeNumber(0, 1_000_000);
}

/** Patterns in gitignore's syntax. */
export function patterns(): OptionType<readonly string[]> {
  return list(text({ expects: 'a pattern in quotes', pattern: /./s }), {
    expects: "a list of patterns such as ['*.tmp', cache/]",
  });
}

/** A program and its arguments; there is no shell. */
export function command(options: { readonly secret?: boolean } = {}): OptionType<readonly string[]> {
  return list(text({ expects: 'text', ...options }), {
    expects: 'a program and its arguments as a list, such as [pass, show, backup]',
    least: 1,
    most: 100,
  });
}

/** How a store's content comes to be: it is the truth, it can be rebuilt from others, or it may be lost. */
export function storeClass(): OptionType<'source' | 'derived' | 'ephemeral'> {
  return choice(['source', 'derived', 'ephemeral']);
}

/** The path of a file or folder; becomes absolute. */
export function path(options: { readonly expects: string; readonly secret?: boolean }): OptionType<string> {
  return { ...text({ pattern: /./s, ...options }), isPath: true };
}

/** The path of a file that holds a secret. */
export function secretFile(): OptionType<string> {
  return path({ expects: 'the path of a file', secret: true });
}

/** The name of an environment variable that holds a secret. */
export function secretEnv(): OptionType<string> {
  return text({
    expects: 'the name of an environment variable',
    pattern: /^[A-Za-z_][A-Za-z0-9_]{0,254}$/,
    secret: true,
  });
}

/** A program whose first line of output is a secret. */
export function secretCommand(): OptionType<readonly string[]> {
  return command({ secret: true });
}

/** Where the password of a store's server is. */
export function passwordSources() {
  return {
    passwordFile: optional(secretFile(), 'The file that holds the password.'),
    passwordEnv: optional(secretEnv(), 'The environment variable that holds the password.'),
    passwordCommand: optional(
      secretCommand(),
      'A program and its arguments; the first line it prints is the password. It is asked at each connection.',
    ),
  };
}

/** Which marks are kept. Every key has a default of its own; 0 switches that rule off. */
export function retention() {
  return keys({
    window: withDefault(
      duration({ atLeast: '1h' }),
      '14d',
      'How far back a restore can reach any moment; beyond it only the marks below are kept.',
    ),
    last: withDefault(count(), 3, 'The newest marks, however old.'),
    hourly: withDefault(count(), 24, 'The newest mark of each of so many hours.'),
    daily: withDefault(count(), 7, 'The newest mark of each of so many days.'),
    weekly: withDefault(count(), 5, 'The newest mark of each of so many weeks.'),
    monthly: withDefault(count(), 12, 'The newest mark of each of so many months.'),
  });
}

function atLeast(value: number | undefined, least: number): number | undefined {
  return value !== undefined && value >= least ? value : undefined;
}

function isTimeZone(written: string): boolean {
  // Loading the data of the zones takes longer than all the rest of a manifest.
  if (written === 'UTC') return true;
  try {
    new Intl.DateTimeFormat('en', { timeZone: written });
    return true;
  } catch {
    return false;
  }
}
