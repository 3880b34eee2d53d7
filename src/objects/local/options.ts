import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { TidemarkError } from '../../core/errors.ts';

function refuse(url: string, problem: string, hint: string): TidemarkError {
  return new TidemarkError('CONFIG_INVALID', `the repository ${JSON.stringify(url)} ${problem}`, { hint });
}

/**
 * The absolute path of a folder given as a path, relative to `baseFolder`, or as `file:///…`. Nothing is looked at on the disk.
 * @throws CONFIG_INVALID
 */
export function parseFolderUrl(url: string, baseFolder: string): string {
  if (url.trim() === '') throw refuse(url, 'names nothing', 'Write the path of a folder, such as ./backups.');
  if (url.includes('\0')) throw refuse(url, 'contains a zero byte', 'Write the path of a folder, such as ./backups.');
  if (url === '~' || url.startsWith('~/')) {
    throw refuse(url, 'begins with ~, which only a shell expands', 'Write the whole path.');
  }
  if (!/^file:/i.test(url)) return resolve(baseFolder, url);
  const form = 'Write file:///absolute/path, or the path alone.';
  if (!/^file:\/\/(?:localhost)?\//i.test(url)) throw refuse(url, 'is no absolute path on this machine', form);
  if (/[?#]/.test(url)) throw refuse(url, 'has a ? or #, which must be written %3F or %23', form);
  try {
    return resolve(fileURLToPath(url));
  } catch (error) {
    throw new TidemarkError('CONFIG_INVALID', `the repository ${JSON.stringify(url)} is no path`, {
      hint: form,
      cause: error,
    });
  }
}
