import { must } from '../../src/core/must.ts';
import type { ContentKind } from './content.ts';
import { deriveSeed, seededRandom } from './random.ts';
import type { Random } from './random.ts';

/** `mixed`: all kinds, with large files. `small`: source and text only, for many files of about one size. */
export type TreeShape = 'mixed' | 'small';

export interface TreeOptions {
  readonly files: number;
  /** Sum of the lengths of all files; met exactly unless the files can't be that small. */
  readonly sizeBytes: number;
  readonly seed: number;
  readonly shape: TreeShape;
}

/** The data set that the numbers in the documentation speak of. */
export const STANDARD_TREE: TreeOptions = { files: 50_000, sizeBytes: 1_600_000_000, seed: 1, shape: 'mixed' };

export interface PlannedFile {
  /** Relative, with `/`. */
  readonly path: string;
  readonly kind: ContentKind;
  readonly sizeBytes: number;
  /** Two files with the same kind, size and seed have the same bytes. */
  readonly contentSeed: number;
  readonly mode: number;
  /** Whole seconds since 1970. */
  readonly modifiedAtSeconds: number;
}

interface KindShare {
  readonly kind: ContentKind;
  /** Share of the files; for 0 the number follows from the bytes. */
  readonly files: number;
  readonly bytes: number;
  readonly minBytes: number;
  readonly maxBytes: number;
  /** Deviation of the logarithm of the size. */
  readonly sigma: number;
  readonly extensions: readonly string[];
}

const KIB = 1_024;
const MIB = 1_024 * KIB;
const MEDIA_MEAN_BYTES = 4_000_000;
const DUMP_SHARE = 250 / 1_600;
const FILES_PER_FOLDER = 12;
/** One in so many source files is a copy of another, as vendored code is. */
const COPY_EVERY = 50;
const OLDEST_SECONDS = 1_577_836_800;
const AGE_RANGE_SECONDS = 5 * 365 * 86_400;

const MIXED: readonly KindShare[] = [
  {
    kind: 'source',
    files: 0.6,
    bytes: 0.15,
    minBytes: 60,
    maxBytes: MIB,
    sigma: 1.3,
    extensions: ['.ts', '.c', '.py'],
  },
  { kind: 'text', files: 0.26, bytes: 0.08, minBytes: 40, maxBytes: 4 * MIB, sigma: 1.4, extensions: ['.md', '.txt'] },
  {
    kind: 'binary',
    files: 0.13,
    bytes: 0.24,
    minBytes: 200,
    maxBytes: 24 * MIB,
    sigma: 2.1,
    extensions: ['.so', '.o'],
  },
  {
    kind: 'records',
    files: 0.009,
    bytes: 0.24,
    minBytes: 8 * KIB,
    maxBytes: 32 * MIB,
    sigma: 1.6,
    extensions: ['.log'],
  },
  { kind: 'media', files: 0, bytes: 0.13, minBytes: MIB, maxBytes: 64 * MIB, sigma: 1.3, extensions: ['.jpg', '.mp4'] },
];
const SMALL: readonly KindShare[] = [
  { kind: 'source', files: 0.7, bytes: 0.7, minBytes: 32, maxBytes: MIB, sigma: 1, extensions: ['.ts', '.c', '.py'] },
  { kind: 'text', files: 0.3, bytes: 0.3, minBytes: 32, maxBytes: MIB, sigma: 1, extensions: ['.md', '.txt'] },
];
const FOLDER_NAMES = 'app core data docs lib main net parts shared test tools web'.split(' ');

/** Which files a tree has, in the order of their paths' numbers. The same options give the same plan everywhere. */
export function planTree(options: TreeOptions): PlannedFile[] {
  const shares = options.shape === 'mixed' ? MIXED : SMALL;
  const dumpBytes = options.shape === 'mixed' ? Math.round(options.sizeBytes * DUMP_SHARE) : 0;
  const counts = shares.map((share) => wantedCount(share, options));
  const extra = counts.reduce((sum, count) => sum + count, 0) + (dumpBytes > 0 ? 1 : 0) - options.files;
  const files = shares.flatMap((share, i) => {
    const count = must(counts[i], 'a count per share');
    return planKind(share, Math.max(1, i === 0 ? count - extra : count), options);
  });
  const planned = files.reduce((sum, file) => sum + file.sizeBytes, 0);
  if (dumpBytes > 0) return [...files, planDump(Math.max(MIB, options.sizeBytes - planned), options.seed)];
  return spreadRemainder(files, options.sizeBytes - planned);
}

function wantedCount(share: KindShare, options: TreeOptions): number {
  const wanted = share.files > 0 ? share.files * options.files : (share.bytes * options.sizeBytes) / MEDIA_MEAN_BYTES;
  return Math.max(1, Math.round(wanted));
}

function planKind(share: KindShare, count: number, options: TreeOptions): PlannedFile[] {
  const random = seededRandom(deriveSeed(options.seed, share.kind));
  const sizes = planSizes(random, count, share.bytes * options.sizeBytes, share);
  const planned: PlannedFile[] = [];
  for (const [i, sizeBytes] of sizes.entries()) {
    const extension = must(share.extensions[random.below(share.extensions.length)], 'an extension');
    const modifiedAtSeconds = OLDEST_SECONDS + random.below(AGE_RANGE_SECONDS);
    const original =
      share.kind === 'source' && i % COPY_EVERY === COPY_EVERY - 1 ? planned[random.below(i)] : undefined;
    planned.push({
      path: `${share.kind}/${folderOf(Math.floor(i / FILES_PER_FOLDER))}/${share.kind}-${i.toString(36)}${extension}`,
      kind: share.kind,
      sizeBytes: original?.sizeBytes ?? sizeBytes,
      contentSeed: original?.contentSeed ?? deriveSeed(options.seed, share.kind, i),
      mode: extension === '.so' ? 0o755 : 0o644,
      modifiedAtSeconds,
    });
  }
  return planned;
}

/** Log-normal sizes within the limits whose sum comes near `wantedBytes`. */
function planSizes(random: Random, count: number, wantedBytes: number, limits: KindShare): number[] {
  const raw = Array.from({ length: count }, () => Math.exp(limits.sigma * random.normal()));
  const sized = (scale: number): number[] =>
    raw.map((value) => Math.round(Math.max(limits.minBytes, Math.min(limits.maxBytes, value * scale))));
  let scale = wantedBytes / raw.reduce((sum, value) => sum + value, 0);
  for (let pass = 0; pass < 8; pass += 1) {
    scale *= wantedBytes / sized(scale).reduce((sum, value) => sum + value, 0);
  }
  return sized(scale);
}

function planDump(sizeBytes: number, seed: number): PlannedFile {
  return {
    path: 'dump/shop.sql',
    kind: 'dump',
    sizeBytes,
    contentSeed: deriveSeed(seed, 'dump'),
    mode: 0o640,
    modifiedAtSeconds: OLDEST_SECONDS + AGE_RANGE_SECONDS,
  };
}

function spreadRemainder(files: readonly PlannedFile[], remainderBytes: number): PlannedFile[] {
  const largest = files.reduce((best, file, i) => (file.sizeBytes > must(files[best], 'best').sizeBytes ? i : best), 0);
  return files.map((file, i) =>
    i === largest ? { ...file, sizeBytes: Math.max(1, file.sizeBytes + remainderBytes) } : file,
  );
}

/** A path of folders with at most twelve in each, so that the tree grows in depth with its size. */
function folderOf(index: number): string {
  const names: string[] = [];
  for (let rest = index; ; rest = Math.floor(rest / FOLDER_NAMES.length) - 1) {
    names.unshift(must(FOLDER_NAMES[rest % FOLDER_NAMES.length], 'a folder name'));
    if (rest < FOLDER_NAMES.length) return names.join('/');
  }
}
