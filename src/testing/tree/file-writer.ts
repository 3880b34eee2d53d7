import { closeSync, constants, ftruncateSync, openSync, writeSync } from 'node:fs';
import type { SeededRandom } from '../../flow/random.ts';
import type { Extent } from '../../core/recorder.ts';

const BLOCK = 4096;
const SENTENCE = Buffer.from('The quick brown fox jumps over the lazy dog; ');

/** Bytes that are text-like half of the time, so that some compress. */
export function randomContent(random: SeededRandom, sizeBytes: number): Buffer {
  const bytes = Buffer.from(random.bytes(sizeBytes));
  if (random.chance(0.5)) {
    const step = SENTENCE.byteLength + random.integer(40);
    for (let at = 0; at < sizeBytes; at += step) SENTENCE.copy(bytes, at);
  }
  return bytes;
}

/** Mostly small, now and then some hundreds of kilobytes. */
export function randomSize(random: SeededRandom): number {
  if (random.chance(0.1)) return 0;
  if (random.chance(0.05)) return 100_000 + random.integer(600_000);
  return random.integer(random.chance(0.2) ? 65_536 : 3_000);
}

/** Creates `path`, which must not exist, `sizeBytes` long with data in `runs` and holes between. */
export function writeSparse(path: Buffer, sizeBytes: number, runs: readonly Extent[], random: SeededRandom): void {
  const file = openSync(path, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, 0o644);
  try {
    ftruncateSync(file, sizeBytes);
    for (const run of runs) writeSync(file, random.bytes(run.sizeBytes), 0, run.sizeBytes, run.offset);
  } finally {
    closeSync(file);
  }
}

export type HolePattern = 'leading' | 'middle' | 'trailing' | 'all' | 'many' | 'ragged';

export const holePatterns: readonly HolePattern[] = ['leading', 'middle', 'trailing', 'all', 'many', 'ragged'];

/** Where the data of a file with such holes lies. Blocks of 4 KiB, which every file system here keeps apart. */
export function runsOf(pattern: HolePattern): { readonly sizeBytes: number; readonly runs: readonly Extent[] } {
  const blocks = (from: number, count: number): Extent => ({ offset: from * BLOCK, sizeBytes: count * BLOCK });
  if (pattern === 'leading') return { sizeBytes: 40 * BLOCK, runs: [blocks(32, 8)] };
  if (pattern === 'middle') return { sizeBytes: 64 * BLOCK, runs: [blocks(0, 2), blocks(48, 16)] };
  if (pattern === 'trailing') return { sizeBytes: 1 << 22, runs: [blocks(0, 3)] };
  if (pattern === 'all') return { sizeBytes: 123_456, runs: [] };
  if (pattern === 'ragged') {
    return { sizeBytes: 20 * BLOCK + 17, runs: [blocks(16, 4), { offset: 20 * BLOCK, sizeBytes: 17 }] };
  }
  return { sizeBytes: 600 * BLOCK, runs: Array.from({ length: 150 }, (_, index) => blocks(index * 4, 1)) };
}
