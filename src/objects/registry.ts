import { TidemarkError } from '../core/errors.ts';
import type { Run, Runtime } from '../core/run.ts';
import { openLocalObjectStore } from './local/object-store.ts';
import { parseFolderUrl } from './local/options.ts';
import { prepareFolder } from './local/prepare.ts';
import type { ObjectStore } from './object-store.ts';

export type ObjectStoreContext = {
  readonly runtime: Runtime;
  /** Absolute; relative paths start here: the manifest's folder, or the working directory for `--repository`. */
  readonly baseFolder: string;
};

/** Words of the interface for which there is no code yet. */
const LATER: ReadonlySet<string> = new Set(['s3', 'swift', 'gs', 'azure']);

/**
 * The absolute path of the folder that `url` names. Nothing is looked at on the disk.
 * @throws CONFIG_INVALID for what is no folder; the message never holds more of such a URL than its scheme, since it may hold a secret
 */
export function repositoryFolder(url: string, baseFolder: string): string {
  const scheme = /^([a-z][a-z0-9+.-]*):/i.exec(url)?.[1]?.toLowerCase();
  if (scheme === undefined || scheme === 'file') return parseFolderUrl(url, baseFolder);
  if (LATER.has(scheme)) {
    throw new TidemarkError('CONFIG_INVALID', `a repository at ${scheme}: is not in this version`, {
      hint: 'Name a folder; it can be a mounted disk or share.',
    });
  }
  throw new TidemarkError('CONFIG_INVALID', `a repository at ${scheme}: is unknown`, {
    hint: 'Name a folder; when its name has a colon, begin with ./',
  });
}

/**
 * The object store at `url`, as it is: retries and limits are wrapped around it by the caller.
 * @throws CONFIG_INVALID, REPOSITORY_NOT_FOUND where the folder is absent, REPOSITORY_UNREACHABLE
 */
export async function openObjectStore(url: string, context: ObjectStoreContext, run: Run): Promise<ObjectStore> {
  const folder = repositoryFolder(url, context.baseFolder);
  return await openLocalObjectStore({ folder, runtime: context.runtime }, run);
}

export type NewObjectStoreContext = ObjectStoreContext & {
  /** Which names at the top may be there already, left by an earlier try: of the first part of a key. */
  readonly belongs: (name: string) => boolean;
};

/**
 * As `openObjectStore`, for a repository that is to be created there: makes the place where it is absent.
 * @throws FOLDER_NOT_EMPTY where it holds what does not belong
 */
export async function createObjectStore(url: string, context: NewObjectStoreContext, run: Run): Promise<ObjectStore> {
  await prepareFolder(repositoryFolder(url, context.baseFolder), context.belongs);
  return await openObjectStore(url, context, run);
}
