import ignore from 'ignore';
import { lossyText } from './byte-text.ts';
import type { ByteText } from './byte-text.ts';

/** Says whether patterns in gitignore's syntax match a path. Folders are asked for before what they hold. */
export interface Patterns {
  /** `path`: components joined by '/', relative to the root. What lies in a folder that matches, matches. */
  match(path: ByteText, isFolder: boolean): boolean;
}

/**
 * The library remembers every path that it was asked about; a new instance over the same compiled rules forgets them, so that memory
 * does not grow with the tree.
 */
const PATHS_REMEMBERED = 10_000;

/**
 * Case matters. Bytes that are not UTF-8 are matched as U+FFFD, so that `*` and `?` fit them.
 * @returns undefined when there is no pattern.
 */
export function compilePatterns(patterns: readonly string[]): Patterns | undefined {
  if (patterns.length === 0) return undefined;
  const rules = ignore({ ignorecase: false }).add(patterns);
  let matcher = rules;
  let asked = 0;
  return {
    match(path, isFolder) {
      if (asked++ >= PATHS_REMEMBERED) {
        matcher = ignore({ ignorecase: false }).add(rules);
        asked = 0;
      }
      const text = lossyText(path);
      return matcher.ignores(isFolder ? `${text}/` : text);
    },
  };
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
