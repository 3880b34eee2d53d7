import { copyFileSync, mkdirSync, readFileSync, unlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { must } from '../../src/core/must.ts';
import { deriveSeed, seededRandom } from './random.ts';
import type { Random } from './random.ts';
import { filesBelow } from './walk.ts';
import type { WalkedEntry } from './walk.ts';

export interface EditSummary {
  readonly files: number;
  /** Bytes overwritten in place. */
  readonly inPlaceBytes: number;
  /** Bytes inserted, which shift all that follows in the file. */
  readonly insertedBytes: number;
}

export interface ByteEditOptions {
  /** Share of the tree's bytes that are new afterwards. */
  readonly share: number;
  readonly seed: number;
  /** An empty folder for the files as they were; `undoEdit` needs it. */
  readonly originals?: string | undefined;
}

interface Region {
  readonly at: number;
  readonly lengthBytes: number;
  readonly inserted: boolean;
}

const SMALL_FILE_BYTES = 65_536;
/** Most bytes change in large files, as a dump or a log does; the rest makes up a few per cent of the small files. */
const SMALL_FILES_SHARE = 0.1;
const LARGE_REGION = { low: 4_096, high: 1_048_576 };
const SMALL_REGION = { low: 16, high: 8_192 };

/**
 * Changes `share` of the bytes of the tree at `root`: half of the regions are overwritten in place, half inserted.
 * Files are chosen by their weight in bytes. New bytes are old ones reversed, so they compress as well as what was there.
 */
export function editBytes(root: string, options: ByteEditOptions): EditSummary {
  const random = seededRandom(deriveSeed(options.seed, 'edit bytes'));
  const files = filesBelow(root).filter((file) => file.stats.size > 0);
  const budget = options.share * files.reduce((sum, file) => sum + file.stats.size, 0);
  const small = files.filter((file) => file.stats.size < SMALL_FILE_BYTES);
  const large = files.filter((file) => file.stats.size >= SMALL_FILE_BYTES);
  const smallBudget = large.length === 0 ? budget : small.length === 0 ? 0 : budget * SMALL_FILES_SHARE;
  const regions = new Map<WalkedEntry, Region[]>();
  chooseRegions(regions, small, { random, budgetBytes: smallBudget, region: SMALL_REGION });
  chooseRegions(regions, large, { random, budgetBytes: budget - smallBudget, region: LARGE_REGION });
  let inPlaceBytes = 0;
  let insertedBytes = 0;
  for (const [file, list] of regions) {
    if (options.originals !== undefined) keepOriginal(root, file, options.originals);
    writeFileSync(join(root, file.path), applyRegions(readFileSync(join(root, file.path)), list), { flag: 'r+' });
    for (const region of list) {
      if (region.inserted) insertedBytes += region.lengthBytes;
      else inPlaceBytes += region.lengthBytes;
    }
  }
  return { files: regions.size, inPlaceBytes, insertedBytes };
}

/** Brings the files below `root` back to what `editBytes` found, in place, with their times. */
export function undoEdit(root: string, originals: string): void {
  for (const { path, stats } of filesBelow(originals)) {
    writeFileSync(join(root, path), readFileSync(join(originals, path)));
    utimesSync(join(root, path), stats.atimeMs / 1_000, stats.mtimeMs / 1_000);
  }
}

/**
 * Changes `share` of the files below `root`, of every size alike: of ten changed files six are overwritten in part,
 * two grow in the middle, one is deleted and one is added.
 */
export function editFiles(root: string, options: { readonly share: number; readonly seed: number }): EditSummary {
  const random = seededRandom(deriveSeed(options.seed, 'edit files'));
  const bySize = filesBelow(root).sort((a, b) => a.stats.size - b.stats.size || (a.path < b.path ? -1 : 1));
  const stratum = Math.max(1, Math.round(1 / options.share));
  let changed = 0;
  let inPlaceBytes = 0;
  let insertedBytes = 0;
  for (let from = 0; from + stratum <= bySize.length; from += stratum) {
    const file = must(bySize[from + random.below(stratum)], 'a file in the stratum');
    const path = join(root, file.path);
    const kind = changed % 10;
    changed += 1;
    if (kind === 9) writeFileSync(`${path}.added`, readFileSync(path).reverse());
    else if (kind === 8) unlinkSync(path);
    else {
      const region = regionIn(file.stats.size, { random, limits: LARGE_REGION, inserted: kind >= 6 });
      writeFileSync(path, applyRegions(readFileSync(path), [region]), { flag: 'r+' });
      if (region.inserted) insertedBytes += region.lengthBytes;
      else inPlaceBytes += region.lengthBytes;
    }
  }
  return { files: changed, inPlaceBytes, insertedBytes };
}

function chooseRegions(
  into: Map<WalkedEntry, Region[]>,
  files: readonly WalkedEntry[],
  how: { readonly random: Random; readonly budgetBytes: number; readonly region: typeof LARGE_REGION },
): void {
  const ends: number[] = [];
  let total = 0;
  for (const file of files) ends.push((total += file.stats.size));
  let inserted = false;
  for (let left = how.budgetBytes; left >= 1; inserted = !inserted) {
    const file = must(files[firstAbove(ends, how.random.unit() * total)], 'a file by weight');
    const limits = { low: Math.min(how.region.low, left), high: Math.min(how.region.high, left) };
    const region = regionIn(file.stats.size, { random: how.random, limits, inserted });
    const list = into.get(file) ?? [];
    list.push(region);
    into.set(file, list);
    left -= region.lengthBytes;
  }
}

function regionIn(
  sizeBytes: number,
  how: { readonly random: Random; readonly limits: typeof LARGE_REGION; readonly inserted: boolean },
): Region {
  const high = Math.max(1, Math.min(how.limits.high, sizeBytes));
  const lengthBytes = Math.max(1, Math.floor(how.random.spread(Math.min(how.limits.low, high), high)));
  return { at: how.random.below(sizeBytes - lengthBytes + 1), lengthBytes, inserted: how.inserted };
}

/** The index of the first end above `value`; `ends` rises. */
function firstAbove(ends: readonly number[], value: number): number {
  let low = 0;
  let high = ends.length - 1;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (must(ends[middle], 'an end') > value) high = middle;
    else low = middle + 1;
  }
  return low;
}

/** Regions are of the old content; one that is inserted is a reversed copy of what follows it. */
function applyRegions(content: Buffer, regions: readonly Region[]): Buffer {
  for (const { at, lengthBytes, inserted } of regions) {
    if (!inserted) flip(content.subarray(at, at + lengthBytes));
  }
  const pieces: Buffer[] = [];
  let done = 0;
  for (const { at, lengthBytes } of regions.filter((region) => region.inserted).sort((a, b) => a.at - b.at)) {
    pieces.push(content.subarray(done, at), flip(Buffer.from(content.subarray(at, at + lengthBytes))));
    done = at;
  }
  return Buffer.concat([...pieces, content.subarray(done)]);
}

/** Reverses `bytes`, and makes sure that the result differs from what was there. */
function flip(bytes: Buffer): Buffer {
  bytes.reverse();
  bytes[0] = (bytes[0] ?? 0) ^ 1;
  return bytes;
}

function keepOriginal(root: string, { path, stats }: WalkedEntry, originals: string): void {
  mkdirSync(dirname(join(originals, path)), { recursive: true });
  copyFileSync(join(root, path), join(originals, path));
  utimesSync(join(originals, path), stats.atimeMs / 1_000, stats.mtimeMs / 1_000);
}
