import { closeSync, fchmodSync, futimesSync, lutimesSync, mkdirSync, openSync, symlinkSync, writeSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import { must } from '../../src/core/must.ts';
import { contentWriters } from './content.ts';
import type { ContentWriter } from './content.ts';
import { planTree, STANDARD_TREE } from './plan.ts';
import type { PlannedFile, TreeOptions, TreeShape } from './plan.ts';

export interface TreeSummary {
  readonly files: number;
  readonly symbolicLinks: number;
  readonly sizeBytes: number;
}

const PIECE_BYTES = 1_048_576;
const LINK_EVERY = 200;

/**
 * Writes the planned tree into the empty or missing folder `root`: the same bytes, names, modes and times for the same
 * options, on every machine. Times lie years back, so that no tool doubts them.
 */
export function generateTree(root: string, options: TreeOptions): TreeSummary {
  const writers = contentWriters();
  const piece = new Uint8Array(PIECE_BYTES);
  const plan = planTree(options);
  const folders = new Set<string>();
  let symbolicLinks = 0;
  for (const [i, file] of plan.entries()) {
    const path = join(root, file.path);
    const folder = dirname(path);
    if (!folders.has(folder)) mkdirSync(folder, { recursive: true });
    folders.add(folder);
    writeFile(path, file, { writer: writers(file.kind, file.contentSeed), piece });
    if (i % LINK_EVERY === LINK_EVERY - 1) {
      symlinkSync(basename(path), `${path}.link`);
      lutimesSync(`${path}.link`, file.modifiedAtSeconds, file.modifiedAtSeconds);
      symbolicLinks += 1;
    }
  }
  return { files: plan.length, symbolicLinks, sizeBytes: plan.reduce((sum, file) => sum + file.sizeBytes, 0) };
}

function writeFile(
  path: string,
  file: PlannedFile,
  by: { readonly writer: ContentWriter; readonly piece: Uint8Array },
): void {
  const descriptor = openSync(path, 'wx', file.mode);
  try {
    for (let left = file.sizeBytes; left > 0; ) {
      const part = by.piece.subarray(0, Math.min(left, PIECE_BYTES));
      by.writer.fill(part);
      for (let done = 0; done < part.length; ) done += writeSync(descriptor, part, done);
      left -= part.length;
    }
    fchmodSync(descriptor, file.mode);
    futimesSync(descriptor, file.modifiedAtSeconds, file.modifiedAtSeconds);
  } finally {
    closeSync(descriptor);
  }
}

function main(): void {
  const { values } = parseArgs({
    options: {
      into: { type: 'string' },
      files: { type: 'string', default: String(STANDARD_TREE.files) },
      size: { type: 'string', default: String(STANDARD_TREE.sizeBytes) },
      seed: { type: 'string', default: String(STANDARD_TREE.seed) },
      shape: { type: 'string', default: STANDARD_TREE.shape },
    },
  });
  const shape: TreeShape = values.shape === 'small' ? 'small' : 'mixed';
  const summary = generateTree(must(values.into, '--into DIR'), {
    files: Number(values.files),
    sizeBytes: Number(values.size),
    seed: Number(values.seed),
    shape,
  });
  console.log(JSON.stringify(summary));
}

if (import.meta.main) main();
