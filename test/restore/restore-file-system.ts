import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export type MountedFolder = Disposable & { readonly path: string; at(name: string): string };

/** Why file systems can't be mounted here, or false. */
export function whyNoMount(): string | false {
  if (process.geteuid?.() !== 0) return 'only root may mount a file system';
  return spawnSync('unshare', ['--mount', 'mount', '-t', 'tmpfs', 'none', '/mnt']).status === 0
    ? false
    : 'nobody may mount a file system here';
}

/** A tmpfs of so many bytes. */
export function mountSmall(sizeBytes: number): MountedFolder {
  return mounted((folder) => execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${sizeBytes}`, 'none', folder]));
}

/** A file system that shares blocks, in a file of its own. */
export function mountReflinks(type: 'xfs' | 'btrfs'): MountedFolder {
  const image = join(mkdtempSync(join(tmpdir(), 'tidemark-image-')), 'image');
  const done = (): void => rmSync(join(image, '..'), { recursive: true, force: true });
  try {
    execFileSync('truncate', ['-s', '400M', image]);
    execFileSync(`mkfs.${type}`, ['-q', ...(type === 'xfs' ? ['-m', 'reflink=1'] : []), image]);
    return mounted((folder) => execFileSync('mount', ['-o', 'loop', image, folder]), done);
  } catch (error) {
    done();
    throw error;
  }
}

/** Why there is no such file system here, or false. */
export function whyNoReflinks(type: 'xfs' | 'btrfs'): string | false {
  const noMount = whyNoMount();
  if (noMount !== false) return noMount;
  if (spawnSync(`mkfs.${type}`, ['-V']).error !== undefined) return `mkfs.${type} is not installed`;
  try {
    using _mounted = mountReflinks(type);
    return false;
  } catch (error) {
    return `${type} can’t be mounted: ${String(error)}`;
  }
}

function mounted(mount: (folder: string) => void, done?: () => void): MountedFolder {
  const path = mkdtempSync(join(tmpdir(), 'tidemark-mount-'));
  try {
    mount(path);
  } catch (error) {
    rmSync(path, { recursive: true });
    throw error;
  }
  return {
    path,
    at: (name) => join(path, name),
    [Symbol.dispose]() {
      // What a failed test has left open must not keep it.
      execFileSync('umount', ['--lazy', path]);
      rmSync(path, { recursive: true });
      done?.();
    },
  };
}
