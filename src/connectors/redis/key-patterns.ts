import { parsePatternText } from '../../core/byte-name.ts';
import { TidemarkError } from '../../core/errors.ts';

/** Says whether a key of a database is meant. */
export type KeyFilter = (database: number, key: Uint8Array) => boolean;

type KeyPattern = { readonly database: number | undefined; readonly glob: Uint8Array };

/**
 * Patterns of `--only`: what KEYS takes, with the number of a database and a colon before it, or none for all databases: `0:session:*`, `1:*`, `session:*`.
 * A key that itself begins with a number and a colon is meant by `[1]:*`; `\xHH` is a byte. @throws USAGE for one that is empty
 */
export function compileKeyPatterns(patterns: readonly string[]): KeyFilter {
  const compiled = patterns.map(parsePattern);
  return (database, key) =>
    compiled.some((pattern) => (pattern.database ?? database) === database && matchesGlob(pattern.glob, key));
}

/** A glob that means every key that a pattern can mean, for SCAN; undefined when the pattern is of another database. */
export function globsFor(patterns: readonly string[], database: number): readonly Uint8Array[] {
  return patterns
    .map(parsePattern)
    .filter((pattern) => (pattern.database ?? database) === database)
    .map(({ glob }) => glob);
}

function parsePattern(text: string): KeyPattern {
  const [, number, glob] = /^(?:([0-9]{1,9}):)?(.*)$/s.exec(text) ?? [];
  if (glob === undefined || glob === '') {
    throw new TidemarkError('USAGE', `"${text}" means no key`, {
      hint: 'Write a pattern of keys such as session:*, with the database before it where it is one: 0:session:*, 1:*.',
    });
  }
  return { database: number === undefined ? undefined : Number(number), glob: parsePatternText(glob) };
}

const [STAR, QUESTION, OPEN, CLOSE, CARET, DASH, BACKSLASH] = [0x2a, 0x3f, 0x5b, 0x5d, 0x5e, 0x2d, 0x5c];

/** As KEYS and SCAN match: `*`, `?`, `[abc]`, `[^a]`, `[a-z]`, and `\` before what stands for itself. */
export function matchesGlob(glob: Uint8Array, text: Uint8Array): boolean {
  let [at, pattern] = [0, 0];
  /** Where to go on when what follows the last `*` does not fit: one byte further. */
  let [retryAt, retryPattern] = [-1, -1];
  while (at < text.byteLength || pattern < glob.byteLength) {
    if (glob[pattern] === STAR) {
      pattern += 1;
      [retryAt, retryPattern] = [at, pattern];
      continue;
    }
    const next = at < text.byteLength && pattern < glob.byteLength ? matchesOne(glob, pattern, text[at] ?? 0) : -1;
    if (next >= 0) {
      at += 1;
      pattern = next;
      continue;
    }
    if (retryAt < 0 || retryAt >= text.byteLength) return false;
    retryAt += 1;
    [at, pattern] = [retryAt, retryPattern];
  }
  return true;
}

/** Where the pattern goes on when the byte fits, else -1. */
function matchesOne(glob: Uint8Array, from: number, byte: number): number {
  const first = glob[from];
  if (first === QUESTION) return from + 1;
  if (first === OPEN) return matchesSet(glob, from + 1, byte);
  const literal = first === BACKSLASH && from + 1 < glob.byteLength ? from + 1 : from;
  return glob[literal] === byte ? literal + 1 : -1;
}

/** A set that is not closed ends with the pattern, as in Redis. */
function matchesSet(glob: Uint8Array, from: number, byte: number): number {
  const isNegated = glob[from] === CARET;
  let at = isNegated ? from + 1 : from;
  let isIn = false;
  for (; at < glob.byteLength && glob[at] !== CLOSE; at += 1) {
    if (glob[at] === BACKSLASH && at + 1 < glob.byteLength) {
      at += 1;
      isIn ||= glob[at] === byte;
    } else if (at + 2 < glob.byteLength && glob[at + 1] === DASH) {
      const [low, high] = [glob[at] ?? 0, glob[at + 2] ?? 0];
      isIn ||= byte >= Math.min(low, high) && byte <= Math.max(low, high);
      at += 2;
    } else {
      isIn ||= glob[at] === byte;
    }
  }
  return isIn === isNegated ? -1 : Math.min(at + 1, glob.byteLength);
}
