import { isObjectKey } from '../object-key.ts';

export type WalkRange = { readonly prefix: string; readonly after: string };

/** What lies in a folder. `folder` is '' for the root, else it ends with `/`. Whatever is neither file nor folder is left out. */
export type ReadFolder = (folder: string) => readonly FolderEntry[];
export type FolderEntry = { readonly name: string; readonly isFolder: boolean };

/** A folder being walked: names ascending as parts of whole keys, those of folders with their `/`. */
type Level = { readonly key: string; readonly names: readonly string[]; at: number };

/**
 * Keys of the files within the range, in ascending bytewise order of whole keys. Reads only folders that can hold one. Names that aren't
 * keys are not objects and left out. Holds the names of one path of folders at a time.
 */
export function* walkKeys(readFolder: ReadFolder, range: WalkRange): Generator<readonly string[]> {
  const readLevel = (key: string): Level => ({ key, names: namesIn(key, readFolder(key), range), at: 0 });
  const start = range.prefix.slice(0, range.prefix.lastIndexOf('/') + 1);
  const levels = [readLevel(start)];
  for (let level = levels.at(-1); level !== undefined; level = levels.at(-1)) {
    const { files, folder } = takeRun(level);
    if (files.length > 0) yield files;
    if (folder === undefined) levels.pop();
    else levels.push(readLevel(folder));
  }
}

function namesIn(folder: string, entries: readonly FolderEntry[], range: WalkRange): readonly string[] {
  const names: string[] = [];
  for (const entry of entries) {
    // With its slash a folder sorts exactly where its keys do: `a-b` and `a.b` come before `a/b`, `a0` after it.
    const name = entry.isFolder ? `${entry.name}/` : entry.name;
    if (isObjectKey(entry.name) && mayHold(folder + name, range)) names.push(name);
  }
  return names.sort();
}

/** The files up to the next folder, and that folder. */
function takeRun(level: Level): { readonly files: readonly string[]; readonly folder: string | undefined } {
  const files: string[] = [];
  while (level.at < level.names.length) {
    const key = level.key + (level.names[level.at] ?? '');
    level.at += 1;
    if (key.endsWith('/')) return { files, folder: key };
    files.push(key);
  }
  return { files, folder: undefined };
}

/** Whether `key`, or a key below it when it is a folder's, lies in the range. */
function mayHold(key: string, { prefix, after }: WalkRange): boolean {
  const isFolder = key.endsWith('/');
  if (!key.startsWith(prefix) && !(isFolder && prefix.startsWith(key))) return false;
  return key > after || (isFolder && after.startsWith(key));
}
