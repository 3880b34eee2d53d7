import { lstatSync, realpathSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { systemCode, TidemarkError } from '../../core/errors.ts';
import { assume } from '../../core/must.ts';
import { statAt, WORKING_FOLDER } from '../../io/native-folder.ts';
import { byteText, byteTextOf, bytesOf, printablePath, systemPath } from './byte-text.ts';
import type { ByteText } from './byte-text.ts';
import { fileError } from './errors.ts';

/** What one restore puts beside the folder, all in `Place.home`. */
export type BesideNames = {
  /** The tree in the making; after an exchange, for a moment, the old one. */
  readonly fresh: string;
  /** What was there before. */
  readonly aside: string;
  /** What an interrupted call left of `fresh`: read from by the next one. */
  readonly part: string;
  readonly journal: string;
};

/** Where a restore goes. */
export type Place = {
  /** Links are resolved. It need not exist. */
  readonly target: ByteText;
  readonly exists: boolean;
  /** Something is mounted on the target: it can't be renamed, so that the new tree lies in it and its children are exchanged. */
  readonly mounted: boolean;
  /** The folder that holds the names beside: the target's parent, or the target itself when it is mounted. */
  readonly home: ByteText;
  /** The target's own name in `home`. */
  readonly name: ByteText;
  readonly beside: BesideNames;
};

/** Leaves room for what is added to a name of up to 255 bytes. */
const LONGEST_LABEL = 180;

/**
 * Looks where `folder` really is. Writes nothing.
 * @throws RESTORE_CONFLICT when something that is no folder is there, or the root of the system.
 */
export function findPlace(folder: string, id: string): Place {
  assume(/^[a-z0-9-]{1,40}$/.test(id), 'the id of a restore');
  const { path, exists } = resolveTarget(resolve(folder));
  if (path === '/') throw new TidemarkError('RESTORE_CONFLICT', 'the root of the system can’t be restored into');
  const parent = path.slice(0, path.lastIndexOf('/')) || '/';
  const name = path.slice(path.lastIndexOf('/') + 1);
  const mounted = exists && isMounted(path, parent);
  const label = labelOf(name);
  const besideName = (what: string): string => `.${label}.tidemark-${what}-${id}`;
  const beside = {
    fresh: besideName('new'),
    aside: besideName('aside'),
    part: besideName('part'),
    journal: besideName('journal'),
  };
  return { target: path, exists, mounted, home: mounted ? path : parent, name, beside };
}

function resolveTarget(folder: string): { readonly path: ByteText; readonly exists: boolean } {
  const path = byteTextOf(folder);
  try {
    const real = byteText(realpathSync.native(systemPath(path), 'buffer'));
    if (lstatSync(systemPath(real)).isDirectory()) return { path: real, exists: true };
    throw new TidemarkError('RESTORE_CONFLICT', `${printablePath(path)} is not a folder`);
  } catch (error) {
    if (systemCode(error) !== 'ENOENT') {
      throw fileError('RESTORE_CONFLICT', `${printablePath(path)} can’t be restored into`, error);
    }
  }
  if (lstatSync(systemPath(path), { throwIfNoEntry: false }) !== undefined) {
    throw new TidemarkError('RESTORE_CONFLICT', `${printablePath(path)} is a link that leads nowhere`);
  }
  const parent = resolveTarget(dirname(folder)).path;
  const name = path.slice(path.lastIndexOf('/') + 1);
  return { path: parent === '/' ? `/${name}` : `${parent}/${name}`, exists: false };
}

function isMounted(path: ByteText, parent: ByteText): boolean {
  const status = statAt(WORKING_FOLDER, bytesOf(path));
  return status.mountPoint ?? status.device !== statAt(WORKING_FOLDER, bytesOf(parent)).device;
}

/** Text for every name, however odd: it only has to tell people which folder is meant. */
function labelOf(name: ByteText): string {
  const characters = Array.from(bytesOf(name).toString('utf8').replaceAll('\ufffd', '_'));
  let label = '';
  for (const character of characters) {
    if (Buffer.byteLength(label + character) > LONGEST_LABEL) break;
    label += character;
  }
  return label;
}
