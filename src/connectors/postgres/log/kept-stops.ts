import { readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fromSystem, systemCode } from '../../../core/errors.ts';
import { ensureFolder } from '../../../io/atomic-file.ts';
import { formatLsn, parseLsn } from '../lsn.ts';

const STOPS_FILE = 'wal-stops';

/**
 * Remembers places that were named and that the log has not come to yet, for the recorder that goes on with it. Only for as long as the machine runs:
 * what waits for these places does not outlive it.
 */
export async function keepStops(folder: string, stops: readonly bigint[]): Promise<void> {
  const path = join(folder, STOPS_FILE);
  try {
    await ensureFolder(folder, 0o700);
    await writeFile(`${path}.new`, stops.map((lsn) => `${formatLsn(lsn)}\n`).join(''), { mode: 0o600 });
    await rename(`${path}.new`, path);
  } catch (error) {
    throw fromSystem(error, 'FAILED', `${path} can’t be written`);
  }
}

/** What cannot be read is no place. */
export async function readStops(folder: string): Promise<readonly bigint[]> {
  try {
    const text = await readFile(join(folder, STOPS_FILE), 'utf8');
    return text.split('\n').flatMap((line) => parseLsn(line) ?? []);
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return [];
    throw fromSystem(error, 'FAILED', `what is remembered of a server’s log in ${folder} can’t be read`);
  }
}
