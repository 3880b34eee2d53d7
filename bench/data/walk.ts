import { lstatSync, readdirSync } from 'node:fs';
import type { Stats } from 'node:fs';
import { join } from 'node:path';

export interface WalkedEntry {
  /** Relative to the root, with `/`. */
  readonly path: string;
  readonly stats: Stats;
}

/** All entries below `root`, sorted by name within each folder, a folder before what it holds; links aren't followed. */
export function* walkTree(root: string, below = ''): Generator<WalkedEntry> {
  for (const name of readdirSync(join(root, below)).sort()) {
    const path = below === '' ? name : `${below}/${name}`;
    const stats = lstatSync(join(root, path));
    yield { path, stats };
    if (stats.isDirectory()) yield* walkTree(root, path);
  }
}

/** The regular files below `root`. */
export function filesBelow(root: string): WalkedEntry[] {
  return [...walkTree(root)].filter((entry) => entry.stats.isFile());
}

/** The lengths of all regular files below `root`, added up. */
export function bytesBelow(root: string): number {
  let total = 0;
  for (const { stats } of walkTree(root)) if (stats.isFile()) total += stats.size;
  return total;
}
