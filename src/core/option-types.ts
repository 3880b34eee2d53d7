import * as z from 'zod';
import { cronMistake } from './cron.ts';
import { DURATION_PATTERN, parseDuration, parseSize, SIZE_PATTERN } from './units.ts';

/**
 * The types that options of the manifest are made of. Each carries in its meta `expects`, the words that a mistake is explained
 * with ("expected …"), and for a secret's place `secret: true`, which keeps it out of what is stored. Loading this file loads zod,
 * so a command that does not read a manifest must not reach it.
 */

/** A name that is safe in a path, in a key of an object store and on a command line. */
export function name() {
  return z
    .string()
    .max(63)
    .regex(/^[a-z0-9][a-z0-9-]*$/)
    .meta({ expects: 'a name made of a-z, 0-9 and -, at most 63' });
}

/** A store's or data set's name: as `name`, and `_` inside. */
export const STORE_NAME_PATTERN = /^[a-z0-9][a-z0-9_-]{0,62}$/;

/** `5s`, `15m`, `36h`, `14d`; becomes milliseconds. */
export function duration(limits: { readonly atLeast?: string | undefined } = {}) {
  const atLeastMs = parseDuration(limits.atLeast ?? '0s') ?? 0;
  const bound = limits.atLeast === undefined ? '' : `, at least ${limits.atLeast}`;
  return z
    .string()
    .regex(DURATION_PATTERN)
    .refine((text) => (parseDuration(text) ?? -1) >= atLeastMs)
    .transform((text) => parseDuration(text) ?? 0)
    .meta({ expects: `a duration such as 5s, 15m, 36h or 14d${bound}` });
}

/** `512KiB`, `8MiB`, `1GiB`; becomes bytes. */
export function size(limits: { readonly atLeast?: string | undefined } = {}) {
  const atLeastBytes = parseSize(limits.atLeast ?? '0B') ?? 0;
  const bound = limits.atLeast === undefined ? '' : `, at least ${limits.atLeast}`;
  return z
    .string()
    .regex(SIZE_PATTERN)
    .refine((text) => (parseSize(text) ?? -1) >= atLeastBytes)
    .transform((text) => parseSize(text) ?? 0)
    .meta({ expects: `a size such as 512KiB, 8MiB or 1GiB${bound}` });
}

/** A schedule in cron's five fields. */
export function cron() {
  return z
    .string()
    .superRefine((text, context) => {
      const mistake = cronMistake(text);
      if (mistake !== undefined) context.addIssue({ code: 'custom', message: mistake, input: text });
    })
    .meta({ expects: 'a schedule in quotes, such as "0 3 * * *"' });
}

/** A time zone's name, such as Europe/Berlin. */
export function timeZone() {
  return z.string().refine(isTimeZone).meta({ expects: 'a time zone such as UTC or Europe/Berlin' });
}

/** How many of something to keep; 0 for none. */
export function count() {
  return z.int().min(0).max(1_000_000).meta({ expects: 'a whole number, 0 or more' });
}

export function flag() {
  return z.boolean().meta({ expects: 'true or false' });
}

/** Patterns in gitignore's syntax. */
export function patterns() {
  return z
    .array(z.string().min(1).max(4096).meta({ expects: 'a pattern in quotes' }))
    .max(10_000)
    .meta({ expects: "a list of patterns such as ['*.tmp', cache/]" });
}

/** A program and its arguments; there is no shell. */
export function command() {
  return z
    .array(z.string().max(4096).meta({ expects: 'text' }))
    .min(1)
    .max(100)
    .meta({ expects: 'a program and its arguments as a list, such as [pass, show, backup]' });
}

/** How a store's content comes to be: it is the truth, it can be rebuilt from others, or it may be lost. */
export function storeClass() {
  return z.enum(['source', 'derived', 'ephemeral']);
}

/** The path of a file that holds a secret. */
export function secretFile() {
  return z.string().min(1).max(4096).meta({ expects: 'the path of a file', secret: true });
}

/** The name of an environment variable that holds a secret. */
export function secretEnv() {
  return z
    .string()
    .regex(/^[A-Za-z_][A-Za-z0-9_]{0,254}$/)
    .meta({ expects: 'the name of an environment variable', secret: true });
}

/** A program whose first line of output is a secret. */
export function secretCommand() {
  return command().meta({
    expects: 'a program and its arguments as a list, such as [pass, show, backup]',
    secret: true,
  });
}

/** Which marks are kept. Every key has a default of its own; 0 switches that rule off. */
export function retention() {
  return z.strictObject({
    window: duration({ atLeast: '1h' })
      .prefault('14d')
      .describe('How far back a restore can reach any moment; beyond it only the marks below are kept.'),
    last: count().default(3).describe('The newest marks, however old.'),
    hourly: count().default(24).describe('The newest mark of each of so many hours.'),
    daily: count().default(7).describe('The newest mark of each of so many days.'),
    weekly: count().default(5).describe('The newest mark of each of so many weeks.'),
    monthly: count().default(12).describe('The newest mark of each of so many months.'),
  });
}

function isTimeZone(text: string): boolean {
  try {
    new Intl.DateTimeFormat('en', { timeZone: text });
    return true;
  } catch {
    return false;
  }
}
