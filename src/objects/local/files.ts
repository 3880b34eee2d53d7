import type { Stats } from 'node:fs';
import { readdir, rmdir, stat, unlink } from 'node:fs/promises';
import { hasCode } from './errors.ts';
import type { FolderEntry } from './walk.ts';

/** The file at a path; undefined where none is, or something else. Rejects with the file system's errors. */
export async function statFile(path: string): Promise<Stats | undefined> {
  try {
    const stats = await stat(path);
    return stats.isFile() ? stats : undefined;
  } catch (error) {
    if (hasCode(error, 'ENOENT', 'ENOTDIR')) return undefined;
    throw error;
  }
}

/** Whether there was something to remove. Rejects with the file system's errors. */
export async function removeFile(path: string): Promise<boolean> {
  try {
    await unlink(path);
    return true;
  } catch (error) {
    if (hasCode(error, 'ENOENT', 'ENOTDIR')) return false;
    throw error;
  }
}

/** Whether it is gone. It stays when it isn't empty, and where it may not be removed. Rejects with the file system's errors. */
export async function removeEmptyFolder(path: string): Promise<boolean> {
  try {
    await rmdir(path);
    return true;
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return true;
    if (hasCode(error, 'ENOTEMPTY', 'EEXIST', 'EBUSY', 'EACCES', 'EPERM')) return false;
    throw error;
  }
}

/** Its files and folders; nothing where no folder is: it may vanish while the one above is read. Rejects with the file system's errors. */
export async function entriesOf(path: string): Promise<readonly FolderEntry[]> {
  try {
    const entries = await readdir(path, { withFileTypes: true });
    return entries.flatMap((entry) => {
      const isFolder = entry.isDirectory();
      return isFolder || entry.isFile() ? [{ name: entry.name, isFolder }] : [];
    });
  } catch (error) {
    if (hasCode(error, 'ENOENT', 'ENOTDIR')) return [];
    throw error;
  }
}
