import type { ListedEntry } from '../../core/connector.ts';
import { byteText } from './byte-text.ts';
import { compilePatterns } from './patterns.ts';

/** Says which entries patterns in gitignore's syntax mean: a folder that matches stands for all that it holds. */
export function entryMatcher(patterns: readonly string[]): (entry: ListedEntry) => boolean {
  const compiled = compilePatterns(patterns);
  return ({ name, type }) => {
    const path = byteText(name);
    if (compiled === undefined || path === '' || !compiled.match(path, type === 'folder')) return false;
    const parent = path.slice(0, Math.max(path.lastIndexOf('/'), 0));
    return parent === '' || !compiled.match(parent, true);
  };
}
