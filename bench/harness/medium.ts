import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/**
 * Where samples lie. `tmpfs`: memory, a file system of its own when root, else a folder in /dev/shm. `loop`: a new ext4
 * in a file on the disk, which needs root.
 */
export type MediumKind = 'tmpfs' | 'loop';

/** A new, empty file system or folder that is gone after disposal. */
export interface Medium extends Disposable {
  readonly path: string;
}

const MEMORY = '/dev/shm';
const LOOP_BYTES = 16 * 1_024 ** 3;

export function openMedium(kind: MediumKind): Medium {
  return kind === 'loop' ? openLoop() : openTmpfs();
}

function isRoot(): boolean {
  return process.getuid?.() === 0;
}

function openTmpfs(): Medium {
  const folder = mkdtempSync(join(MEMORY, 'tidemark-bench-'));
  if (!isRoot()) return { path: folder, [Symbol.dispose]: () => rmSync(folder, { recursive: true }) };
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=90%,mode=0700', 'tidemark-bench', folder]);
  } catch (error) {
    rmSync(folder, { recursive: true });
    throw error;
  }
  return mounted(folder, folder);
}

function openLoop(): Medium {
  if (!isRoot()) throw new Error('a loop device needs root; use --medium tmpfs');
  const folder = mkdtempSync(join(tmpdir(), 'tidemark-bench-'));
  try {
    const image = join(folder, 'image');
    const point = join(folder, 'mounted');
    mkdirSync(point);
    writeFileSync(image, '');
    truncateSync(image, LOOP_BYTES);
    execFileSync('mkfs.ext4', ['-q', '-F', '-m', '0', '-E', 'lazy_itable_init=0,lazy_journal_init=0', image]);
    execFileSync('mount', ['-o', 'loop', image, point]);
    return mounted(point, folder);
  } catch (error) {
    rmSync(folder, { recursive: true });
    throw error;
  }
}

function mounted(point: string, folder: string): Medium {
  return {
    path: point,
    [Symbol.dispose]: () => {
      execFileSync('umount', [point]);
      rmSync(folder, { recursive: true });
    },
  };
}
