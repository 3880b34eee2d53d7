import type { FileHandle } from 'node:fs/promises';
import { link } from 'node:fs/promises';
import { dirname } from 'node:path';
import { renameAt, WORKING_FOLDER } from '../../io/native-folder.ts';
import { hasCode } from './errors.ts';
import type { Folders } from './folders.ts';

/** How often a folder may be removed, just made, by others that delete its last object. */
const MOST_TRIES = 20;

/** `taken`: the name has an owner already. `lost`: the scratch file was removed by another process, which took it for a left-over. */
export type Published = 'done' | 'taken' | 'lost';

export type Draft = { readonly path: string; readonly file: FileHandle };

/**
 * Gives a draft its name, never another's: of several that want one name exactly one gets it. Makes the folders on the way.
 * The draft's own name is left to the caller, and may be gone. Not yet durable. Rejects with the file system's errors.
 */
export async function publish(draft: Draft, target: string, folders: Folders): Promise<Published> {
  for (let left = MOST_TRIES; ; left -= 1) {
    try {
      await nameExclusively(draft.path, target);
      return 'done';
    } catch (error) {
      // A network file system may have lost the answer to a call that took effect: then the draft has two names.
      if (hasCode(error, 'EEXIST')) return (await draft.file.stat()).nlink > 1 ? 'done' : 'taken';
      if (!hasCode(error, 'ENOENT') || left === 0) throw error;
    }
    if ((await draft.file.stat()).nlink === 0) return 'lost';
    await folders.make(dirname(target));
  }
}

async function nameExclusively(from: string, to: string): Promise<void> {
  try {
    await link(from, to);
  } catch (error) {
    if (!hasCode(error, 'EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK')) throw error;
    // Without hard links (exFAT, some of FUSE) a rename that never replaces does the same.
    renameAt(
      { fromFolder: WORKING_FOLDER, from: Buffer.from(from), toFolder: WORKING_FOLDER, to: Buffer.from(to) },
      'keep',
    );
  }
}
