import { closeSync, openSync, readlinkSync, readSync } from 'node:fs';
import type { Stats } from 'node:fs';
import { join } from 'node:path';
import { must } from '../../src/core/must.ts';
import { walkTree } from './walk.ts';

const PIECE_BYTES = 1_048_576;
const MOST_DIFFERENCES = 10;

/**
 * What differs between two trees in names, types, modes, times of files to the millisecond, link targets and content;
 * the first ten differences, none when they are equal.
 */
export function compareTrees(expected: string, actual: string): string[] {
  const differences: string[] = [];
  const buffers = [Buffer.alloc(PIECE_BYTES), Buffer.alloc(PIECE_BYTES)] as const;
  const found = new Map([...walkTree(actual)].map((entry) => [entry.path, entry.stats]));
  for (const { path, stats } of walkTree(expected)) {
    const other = found.get(path);
    found.delete(path);
    const difference = other === undefined ? 'missing' : compareStats(stats, other);
    if (difference !== undefined) differences.push(`${path}: ${difference}`);
    else if (!sameContent(stats, [join(expected, path), join(actual, path)], buffers)) {
      differences.push(`${path}: other content`);
    }
    if (differences.length === MOST_DIFFERENCES) return differences;
  }
  for (const path of found.keys()) differences.push(`${path}: not in the original`);
  return differences.slice(0, MOST_DIFFERENCES);
}

function compareStats(expected: Stats, actual: Stats): string | undefined {
  if (expected.mode !== actual.mode) return `mode ${actual.mode.toString(8)}, not ${expected.mode.toString(8)}`;
  if (!expected.isFile()) return undefined;
  if (expected.size !== actual.size) return `${actual.size} bytes, not ${expected.size}`;
  if (Math.abs(expected.mtimeMs - actual.mtimeMs) >= 1) return `time ${actual.mtimeMs}, not ${expected.mtimeMs}`;
  return undefined;
}

function sameContent(stats: Stats, paths: readonly [string, string], buffers: readonly [Buffer, Buffer]): boolean {
  if (stats.isSymbolicLink()) return readlinkSync(paths[0]) === readlinkSync(paths[1]);
  if (!stats.isFile()) return true;
  const files = paths.map((path) => openSync(path, 'r'));
  try {
    for (let at = 0; at < stats.size; at += PIECE_BYTES) {
      const [left, right] = buffers.map((buffer, i) =>
        buffer.subarray(0, readSync(must(files[i], 'a file'), buffer, 0, PIECE_BYTES, at)),
      );
      if (!must(left, 'left').equals(must(right, 'right'))) return false;
    }
    return true;
  } finally {
    for (const file of files) closeSync(file);
  }
}
