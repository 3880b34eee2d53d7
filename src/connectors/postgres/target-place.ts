import { lstatSync, realpathSync, statSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { fromSystem, systemCode, TidemarkError } from '../../core/errors.ts';
import { assume } from '../../core/must.ts';

/** What one restore puts beside a data directory, all in the same folder. */
export type TargetPlace = {
  /** Links are resolved. It need not exist. */
  readonly target: string;
  readonly exists: boolean;
  /** Something is mounted on it, so that it can't be renamed. */
  readonly mounted: boolean;
  /** The folder that holds all these names. */
  readonly home: string;
  /** The data directory in the making; after an exchange, for a moment, the old one. */
  readonly fresh: string;
  /** What an interrupted call left of `fresh`: read from by the next one. */
  readonly part: string;
  /** What was there before. */
  readonly aside: string;
  readonly journal: string;
};

/** Looks where a data directory really is. Writes nothing. @throws RESTORE_CONFLICT when something that is no folder is there */
export function findTarget(path: string, id: string): TargetPlace {
  assume(/^[a-z0-9-]{1,40}$/.test(id), 'the id of a restore');
  const { target, exists } = resolveTarget(resolve(path));
  if (target === '/') throw new TidemarkError('RESTORE_CONFLICT', 'the root of the system can’t be restored into');
  const home = dirname(target);
  const beside = (what: string): string => join(home, `.${basename(target)}.tidemark-${what}-${id}`);
  return {
    target,
    exists,
    mounted: exists && statSync(target).dev !== statSync(home).dev,
    home,
    fresh: beside('new'),
    part: beside('part'),
    aside: beside('aside'),
    journal: beside('journal'),
  };
}

function resolveTarget(path: string): { readonly target: string; readonly exists: boolean } {
  try {
    const real = realpathSync(path);
    if (lstatSync(real).isDirectory()) return { target: real, exists: true };
  } catch (error) {
    if (systemCode(error) !== 'ENOENT') throw fromSystem(error, 'RESTORE_CONFLICT', `${path} can’t be restored into`);
    if (lstatSync(path, { throwIfNoEntry: false }) === undefined) {
      return { target: join(resolveTarget(dirname(path)).target, basename(path)), exists: false };
    }
  }
  throw new TidemarkError('RESTORE_CONFLICT', `${path} is not a folder`);
}
