import { chmodSync, closeSync, constants, fchmodSync, readdirSync } from 'node:fs';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { systemCode } from '../../core/errors.ts';
import type { Run } from '../../core/run.ts';
import { openAt, openFolderAt, removeFileAt, removeFolderAt, statAt, statOpen } from '../../io/native-folder.ts';

/** Removals between two turns of the event loop. */
const BATCH = 500;

const OWNER_MAY_CHANGE = 0o700;
/** The same on both processors; Node has no name for it. */
const O_PATH = 0o10000000;

type Level = { readonly folder: number; readonly names: readonly Buffer[]; next: number; readonly name: Buffer };

/**
 * Removes what is at `name` in an open folder, with all it holds; nothing there is fine. Walks by descriptors and follows no link, so that
 * nothing outside is ever touched, whatever is exchanged meanwhile. Folders without permissions of the same user are opened first. Needs a
 * descriptor for each level. @throws SystemError
 */
export async function removeTree(parent: number, name: Buffer, run: Run): Promise<void> {
  const levels: Level[] = [];
  try {
    remove(parent, name, levels);
    for (let count = 1; levels.length > 0; count++) {
      if (count % BATCH === 0) {
        await nextTurn();
        run.signal.throwIfAborted();
      }
      step(parent, levels);
    }
  } finally {
    for (const { folder } of levels) closeSync(folder);
  }
}

function step(parent: number, levels: Level[]): void {
  const level = levels.at(-1);
  if (level === undefined) return;
  const name = level.names[level.next++];
  if (name !== undefined) {
    remove(level.folder, name, levels);
    return;
  }
  levels.pop();
  closeSync(level.folder);
  removeFolderAt(levels.at(-1)?.folder ?? parent, level.name);
}

/** Removes a file at once; of a folder, opens a level. */
function remove(folder: number, name: Buffer, levels: Level[]): void {
  try {
    removeFileAt(folder, name);
  } catch (error) {
    const code = systemCode(error);
    if (code === 'ENOENT') return;
    if (code !== 'EISDIR' && (code !== 'EPERM' || !isFolder(folder, name))) throw error;
    const inner = openForRemoval(folder, name);
    levels.push({ folder: inner, names: readdirSync(`/proc/self/fd/${inner}`, { encoding: 'buffer' }), next: 0, name });
  }
}

/** EPERM says that it is a folder, on some file systems, or that it is immutable. */
function isFolder(folder: number, name: Buffer): boolean {
  return (statAt(folder, name).mode & constants.S_IFMT) === constants.S_IFDIR;
}

function openForRemoval(folder: number, name: Buffer): number {
  try {
    const inner = openFolderAt(folder, name);
    if ((statOpen(inner).mode & OWNER_MAY_CHANGE) !== OWNER_MAY_CHANGE) fchmodSync(inner, 0o700);
    return inner;
  } catch (error) {
    if (systemCode(error) !== 'EACCES') throw error;
    // O_PATH needs no permission on the folder itself, and its name in /proc leads to exactly that folder.
    const path = openAt(folder, name, O_PATH | constants.O_DIRECTORY);
    try {
      chmodSync(`/proc/self/fd/${path}`, 0o700);
    } finally {
      closeSync(path);
    }
    return openFolderAt(folder, name);
  }
}
