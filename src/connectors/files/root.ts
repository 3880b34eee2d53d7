import { lstatSync, realpathSync, statSync } from 'node:fs';
import { TidemarkError } from '../../core/errors.ts';
import { byteText, byteTextOf, systemPath } from './byte-text.ts';
import type { ByteText } from './byte-text.ts';
import { storeUnreachable } from './errors.ts';

/** The folder itself, with all links on the way resolved. @throws STORE_UNREACHABLE */
export function resolveRoot(folder: string): ByteText {
  const path = byteTextOf(folder);
  try {
    const root = byteText(realpathSync.native(systemPath(path), 'buffer'));
    if (!statSync(systemPath(root)).isDirectory()) {
      throw new TidemarkError('STORE_UNREACHABLE', `${folder} is not a folder`);
    }
    return root;
  } catch (error) {
    throw error instanceof TidemarkError ? error : storeUnreachable(path, error);
  }
}

/**
 * What tells the folder at `root` from any that was, or will be, in its place: also after a reboot, which may change the device's number.
 * @throws STORE_UNREACHABLE
 */
export function identityOf(root: ByteText): string {
  try {
    const { ino, birthtimeNs } = lstatSync(systemPath(root), { bigint: true });
    return `${ino}:${birthtimeNs}`;
  } catch (error) {
    throw storeUnreachable(root, error);
  }
}

/** `device:inode` of each. Those that are absent hold nothing to leave out. */
export function identitiesOf(folders: readonly string[]): ReadonlySet<string> {
  const identities = new Set<string>();
  for (const folder of folders) {
    const stats = statSync(folder, { bigint: true, throwIfNoEntry: false });
    if (stats !== undefined) identities.add(`${stats.dev}:${stats.ino}`);
  }
  return identities;
}
