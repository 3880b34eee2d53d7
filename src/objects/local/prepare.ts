import { readdir } from 'node:fs/promises';
import { TidemarkError } from '../../core/errors.ts';
import { ensureFolder } from '../../io/atomic-file.ts';
import { hasCode, localError } from './errors.ts';
import { SCRATCH_FOLDER } from './scratch.ts';

/** What a folder for a new repository may hold: our own left-overs, and what a fresh file system comes with. */
const HARMLESS: ReadonlySet<string> = new Set([SCRATCH_FOLDER, 'lost+found']);

/**
 * Makes the folder durably where it is absent, with what is missing above it. Mode 0700; a folder that is there keeps its own.
 * `belongs`: which names in it may be there already. @throws FOLDER_NOT_EMPTY for any other
 */
export async function prepareFolder(folder: string, belongs: (name: string) => boolean): Promise<void> {
  const names = await makeAndRead(folder);
  const foreign = names.find((name) => !HARMLESS.has(name) && !belongs(name));
  if (foreign === undefined) return;
  throw new TidemarkError('FOLDER_NOT_EMPTY', `${folder} is not empty: it holds ${JSON.stringify(foreign)}`);
}

async function makeAndRead(folder: string): Promise<readonly string[]> {
  try {
    await ensureFolder(folder, 0o700);
    return await readdir(folder);
  } catch (error) {
    if (hasCode(error, 'EEXIST', 'ENOTDIR')) {
      throw new TidemarkError('FOLDER_NOT_EMPTY', `${folder} can't be made: a file is in the way`, { cause: error });
    }
    throw localError(error, 'make', folder);
  }
}
