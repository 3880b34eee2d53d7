import { lstatSync, readdirSync } from 'node:fs';
import type { Stats } from 'node:fs';
import { rmdir, unlink } from 'node:fs/promises';
import { hasCode } from './errors.ts';
import type { FolderEntry } from './walk.ts';

/*
 * Looking at files and folders is synchronous: listings look at every object of a kind, and a call that goes through another thread takes ten times
 * as long.
 */

/** The file at a path; undefined where none is, or something else, be it a link to one. @throws the file system's errors */
export function statFile(path: string): Stats | undefined {
  try {
    const stats = lstatSync(path, { throwIfNoEntry: false });
    return stats?.isFile() === true ? stats : undefined;
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

/** Its files and folders; nothing where no folder is: it may vanish while the one above is read. @throws the file system's errors */
export function entriesOf(path: string): readonly FolderEntry[] {
  try {
    const entries = readdirSync(path, { withFileTypes: true });
    return entries.flatMap((entry) => {
      const isFolder = entry.isDirectory();
      return isFolder || entry.isFile() ? [{ name: entry.name, isFolder }] : [];
    });
  } catch (error) {
    if (hasCode(error, 'ENOENT', 'ENOTDIR')) return [];
    throw error;
  }
}
