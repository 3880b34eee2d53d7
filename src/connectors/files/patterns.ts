import { isUtf8 } from 'node:buffer';
import ignore from 'ignore';
import { parsePatternText } from '../../core/byte-name.ts';
import { bytesOf, byteText, byteTextOf, lossyText } from './byte-text.ts';
import type { ByteText } from './byte-text.ts';

/** Says whether patterns in gitignore's syntax match a path. Folders are asked for before what they hold. */
export interface Patterns {
  /** `path`: components joined by '/', relative to the root. What lies in a folder that matches, matches. */
  match(path: ByteText, isFolder: boolean): boolean;
  /**
   * Whatever matches is one of these or lies below one, ascending; components joined by '/'. Undefined when a match can be anywhere.
   */
  readonly roots: readonly ByteText[] | undefined;
}

/**
 * The library remembers every path that it was asked about; a new instance over the same compiled rules forgets them, so that memory
 * does not grow with the tree.
 */
const PATHS_REMEMBERED = 10_000;

/**
 * Case matters. `\xHH` is a byte. One that is not UTF-8 is matched as one character, so that `*` and `?` fit it.
 * @returns undefined when there is no pattern.
 */
export function compilePatterns(typed: readonly string[]): Patterns | undefined {
  if (typed.length === 0) return undefined;
  const patterns = typed.map((pattern) => textOf(byteText(parsePatternText(pattern))));
  const rules = ignore({ ignorecase: false }).add(patterns);
  let matcher = rules;
  let asked = 0;
  return {
    roots: rootsOf(patterns),
    match(path, isFolder) {
      if (asked++ >= PATHS_REMEMBERED) {
        matcher = ignore({ ignorecase: false }).add(rules);
        asked = 0;
      }
      const text = textOf(path);
      return matcher.ignores(isFolder ? `${text}/` : text);
    },
  };
}

const STRAY = '\ufffd';
/** Where a byte that is not UTF-8 goes: to half of a pair of characters, which no UTF-8 makes. */
const STRAY_FROM = 0xdc00;
const LONGEST_CHARACTER = 4;

/** Text in which each byte that is not UTF-8 is a character of its own. */
function textOf(path: ByteText): string {
  const text = lossyText(path);
  if (!text.includes(STRAY)) return text;
  let [kept, at] = ['', 0];
  while (at < path.length) {
    const character = characterAt(path, at);
    kept += character ?? String.fromCharCode(STRAY_FROM + path.charCodeAt(at));
    at += character === undefined ? 1 : Buffer.byteLength(character);
  }
  return kept;
}

function characterAt(path: ByteText, at: number): string | undefined {
  for (let size = 1; size <= LONGEST_CHARACTER; size++) {
    const bytes = bytesOf(path.slice(at, at + size));
    if (isUtf8(bytes)) return bytes.toString('utf8');
  }
  return undefined;
}

/** What could stand for something else than itself, or for a byte that is not UTF-8. */
const NOT_LITERAL = /[*?[\]\\!#\s\ufffd\udc00-\udfff]/;

function rootsOf(patterns: readonly string[]): readonly ByteText[] | undefined {
  const roots: ByteText[] = [];
  for (const pattern of patterns) {
    // It only takes back what others match.
    if (pattern.startsWith('!')) continue;
    const components = pattern.replace(/^\//, '').replace(/\/$/, '').split('/');
    const isAnchored = pattern.slice(0, -1).includes('/');
    const end = components.findIndex((component) => component === '' || NOT_LITERAL.test(component));
    const literal = components.slice(0, end < 0 ? components.length : end);
    if (!isAnchored || literal.length === 0) return undefined;
    roots.push(byteTextOf(literal.join('/')));
  }
  const sorted = [...new Set(roots)].toSorted(byComponents);
  return sorted.filter((root) => !sorted.some((other) => root.startsWith(`${other}/`)));
}

/** As names are ordered, whose components are joined by zero bytes. */
function byComponents(left: ByteText, right: ByteText): number {
  return left.replaceAll('/', '\0') < right.replaceAll('/', '\0') ? -1 : 1;
}

/** Which part of a tree is meant: what `include` matches (everything without it) and `exclude` does not. */
export type Selection = { readonly include: Patterns | undefined; readonly exclude: Patterns | undefined };

export function compileSelection(options: {
  readonly include: readonly string[];
  readonly exclude: readonly string[];
}): Selection {
  return { include: compilePatterns(options.include), exclude: compilePatterns(options.exclude) };
}

/** Names that a restore puts beside a folder while it works and afterwards; they belong to no store. */
const ASIDE_NAME = /^\..+\.tidemark-[a-z]+-[a-z0-9-]+(?:\.[0-9a-f]+\.tidemark-partial)?$/s;

export function isAsideName(component: ByteText): boolean {
  return component.startsWith('.') && ASIDE_NAME.test(component);
}
