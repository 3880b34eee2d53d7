import { copyFileSync, lutimesSync, mkdirSync, readlinkSync, symlinkSync, utimesSync } from 'node:fs';
import { join } from 'node:path';
import type { TreeSummary } from './generate.ts';
import { walkTree } from './walk.ts';

/** Copies folders, files and links below `from` into `to`, in the order of their names, until `limitBytes` are reached. */
export function copyTree(from: string, to: string, limitBytes: number): TreeSummary {
  let files = 0;
  let symbolicLinks = 0;
  let sizeBytes = 0;
  for (const { path, stats } of walkTree(from)) {
    const target = join(to, path);
    if (stats.isDirectory()) mkdirSync(target, { recursive: true });
    else if (stats.isSymbolicLink()) {
      symlinkSync(readlinkSync(join(from, path)), target);
      lutimesSync(target, stats.atimeMs / 1_000, stats.mtimeMs / 1_000);
      symbolicLinks += 1;
    } else if (stats.isFile() && sizeBytes + stats.size <= limitBytes) {
      copyFileSync(join(from, path), target);
      utimesSync(target, stats.atimeMs / 1_000, stats.mtimeMs / 1_000);
      files += 1;
      sizeBytes += stats.size;
    }
  }
  return { files, symbolicLinks, sizeBytes };
}
