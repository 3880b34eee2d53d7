import { join } from 'node:path';
import { toHex } from '../../../core/bytes.ts';
import { fromSystem, systemCode } from '../../../core/errors.ts';
import type { RandomBytes, Run } from '../../../core/run.ts';
import { ensureFolder, readSmallFile, replaceFile } from '../../../io/atomic-file.ts';

const ID_FILE = 'recorder-id';
const ID_BYTES = 6;
const MAX_BYTES = 64;

/**
 * Tells the recorders of one history on one host from all others. It is drawn once and kept in the state folder: a path may be the same on every
 * host, and what a server is told by must not be.
 */
export async function recorderId(folder: string, random: RandomBytes, run: Run): Promise<string> {
  const path = join(folder, ID_FILE);
  const known = await readId(path);
  if (known !== undefined) return known;
  const id = toHex(random(ID_BYTES));
  await ensureFolder(folder, 0o700);
  await replaceFile(path, [Buffer.from(id)], { mode: 0o600, random }, run);
  return id;
}

async function readId(path: string): Promise<string | undefined> {
  try {
    const id = Buffer.from(await readSmallFile(path, MAX_BYTES)).toString();
    return /^[0-9a-f]{12}$/.test(id) ? id : undefined;
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return undefined;
    throw fromSystem(error, 'FAILED', `${path} can’t be read`);
  }
}
