import { readdir } from 'node:fs/promises';
import type { Dirent } from 'node:fs';
import { join } from 'node:path';
import { isObjectKey } from '../object-key.ts';
import { hasCode } from './errors.ts';

export type WalkRange = { readonly prefix: string; readonly after: string };

/** A folder being walked: names ascending as parts of whole keys, those of folders with their `/`. */
type Level = { readonly key: string; readonly names: readonly string[]; at: number };

/**
 * Keys of the files below `root` within the range, in ascending bytewise order of whole keys. Opens only folders that can hold one. Names
 * that aren't keys are not objects and left out. A folder that vanishes on the way is empty. Holds the names of one path of folders at
 * a time. Rejects with the file system's error.
 */
export async function* walkKeys(root: string, range: WalkRange): AsyncGenerator<readonly string[]> {
  const start = range.prefix.slice(0, range.prefix.lastIndexOf('/') + 1);
  const levels = [await readLevel(root, start, range)];
  for (let level = levels.at(-1); level !== undefined; level = levels.at(-1)) {
    const files: string[] = [];
    let folder: string | undefined;
    while (level.at < level.names.length && folder === undefined) {
      const key = level.key + (level.names[level.at] ?? '');
      level.at += 1;
      if (key.endsWith('/')) folder = key;
      else files.push(key);
    }
    if (files.length > 0) yield files;
    if (folder === undefined) levels.pop();
    else levels.push(await readLevel(root, folder, range));
  }
}

async function readLevel(root: string, folder: string, range: WalkRange): Promise<Level> {
  const entries = await readFolder(join(root, folder));
  const names: string[] = [];
  for (const entry of entries) {
    // With its slash a folder sorts exactly where its keys do: `a-b` and `a.b` come before `a/b`, `a0` after it.
    const name = entry.isDirectory() ? `${entry.name}/` : entry.name;
    if (!entry.isDirectory() && !entry.isFile()) continue;
    if (isObjectKey(entry.name) && mayHold(folder + name, range)) names.push(name);
  }
  names.sort();
  return { key: folder, names, at: 0 };
}

async function readFolder(path: string): Promise<readonly Dirent[]> {
  try {
    return await readdir(path, { withFileTypes: true });
  } catch (error) {
    if (hasCode(error, 'ENOENT', 'ENOTDIR')) return [];
    throw error;
  }
}

/** Whether `key`, or a key below it when it is a folder's, lies in the range. */
function mayHold(key: string, { prefix, after }: WalkRange): boolean {
  const isFolder = key.endsWith('/');
  if (!key.startsWith(prefix) && !(isFolder && prefix.startsWith(key))) return false;
  return key > after || (isFolder && after.startsWith(key));
}
