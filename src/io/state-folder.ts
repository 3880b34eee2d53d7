import { chmod, lstat } from 'node:fs/promises';
import { isAbsolute, join } from 'node:path';
import { fromSystem, systemCode, TidemarkError } from '../core/errors.ts';
import { assume } from '../core/must.ts';
import { ensureFolder } from './atomic-file.ts';
import type { Environment } from './program.ts';

export type StateOwner = {
  readonly environment: Environment;
  /** The effective user; 0 is root. */
  readonly userId: number;
};

const PRIVATE_MODE = 0o700;
const PERMISSIONS = 0o777;

/**
 * Where this host keeps what it knows of all repositories: `tidemark` in `$XDG_STATE_HOME`, or without that in `/var/lib` for root and in
 * `~/.local/state` for others. @throws USAGE when there is no home folder either
 */
export function stateHomePath({ environment, userId }: StateOwner): string {
  const { XDG_STATE_HOME: stateHome, HOME: home } = environment;
  // Relative paths are invalid there by the specification, and to be ignored.
  if (stateHome !== undefined && isAbsolute(stateHome)) return join(stateHome, 'tidemark');
  if (userId === 0) return '/var/lib/tidemark';
  if (home !== undefined && isAbsolute(home)) return join(home, '.local/state/tidemark');
  throw new TidemarkError('USAGE', 'there is no place for this host’s state: neither XDG_STATE_HOME nor HOME is set', {
    hint: 'Set XDG_STATE_HOME to a folder that lasts.',
  });
}

/**
 * The folder for one repository, created where it is missing. It and the one above belong to this user alone (mode 0700; a folder that
 * others could enter is closed). @throws FAILED when one belongs to another user or is a link
 */
export async function openStateFolder(repositoryId: string, owner: StateOwner): Promise<string> {
  assume(/^[a-z0-9][a-z0-9-]*$/.test(repositoryId), 'the id of a repository');
  const home = stateHomePath(owner);
  const path = join(home, repositoryId);
  try {
    for (const folder of [home, path]) {
      await ensureFolder(folder, PRIVATE_MODE);
      await claimFolder(folder, owner.userId);
    }
  } catch (error) {
    const what = `the folder for this host’s state can’t be used: ${path}`;
    if (systemCode(error) !== 'EEXIST') throw fromSystem(error, 'FAILED', what);
    throw new TidemarkError('FAILED', `${what}: something that is no folder is in its place`, { cause: error });
  }
  return path;
}

async function claimFolder(path: string, userId: number): Promise<void> {
  const { uid, mode, isLink } = await lookAt(path);
  if (isLink || uid !== userId) {
    const fault = isLink ? 'is a link' : `belongs to user ${uid}, not to user ${userId}`;
    throw new TidemarkError('FAILED', `the folder for this host’s state ${fault}: ${path}`, {
      hint: 'It holds keys. Remove it, or set XDG_STATE_HOME to a folder of your own.',
    });
  }
  if ((mode & PERMISSIONS) !== PRIVATE_MODE) await chmod(path, PRIVATE_MODE);
}

async function lookAt(
  path: string,
): Promise<{ readonly uid: number; readonly mode: number; readonly isLink: boolean }> {
  const status = await lstat(path);
  return { uid: status.uid, mode: status.mode, isLink: status.isSymbolicLink() };
}
