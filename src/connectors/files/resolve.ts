import { realpathSync } from 'node:fs';
import type { StorePlace } from '../../core/connector.ts';
import { systemCode, TidemarkError } from '../../core/errors.ts';
import type { FilesOptions } from './options.ts';
import type { FilesStore } from './store.ts';

/**
 * The store from what the manifest says. @throws CONFIG_INVALID when what has to be left out is the folder itself or holds it.
 */
export function resolveStore({ target, options, leaveOut }: StorePlace): {
  readonly options: FilesStore;
  readonly warnings: readonly string[];
} {
  const root = realPath(target);
  const excludeFolders = leaveOut.filter((path) => path.startsWith('/'));
  const warnings: string[] = [];
  for (const path of excludeFolders) {
    const real = realPath(path);
    if (root === real || root.startsWith(`${real}/`)) {
      throw new TidemarkError('CONFIG_INVALID', `the folder ${target} lies in ${path}, which no base may hold`, {
        hint: 'Put the repository elsewhere.',
      });
    }
    if (real.startsWith(`${root}/`)) warnings.push(`${path} lies in the folder and is left out`);
  }
  // The manifest's schema, `filesOptions`, made them.
  return { options: { ...(options as FilesOptions), folder: target, excludeFolders }, warnings };
}

/** What is not there yet stays as it was named. */
function realPath(path: string): string {
  try {
    return realpathSync(path);
  } catch (error) {
    if (systemCode(error) === undefined) throw error;
    return path;
  }
}
