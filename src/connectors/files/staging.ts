import { closeSync, constants, fchmodSync, lstatSync } from 'node:fs';
import { systemCode, TidemarkError } from '../../core/errors.ts';
import type { Run } from '../../core/run.ts';
import { ensureFolder } from '../../io/atomic-file.ts';
import {
  makeFolderAt,
  openAt,
  openFolderAt,
  removeFileAt,
  renameAt,
  statOpen,
  WORKING_FOLDER,
} from '../../io/native-folder.ts';
import { setTimesOfFile } from '../../io/native-time.ts';
import { removeXattr } from '../../io/native-xattr.ts';
import { bytesOf, byteTextOf, lossyText, printablePath, systemPath } from './byte-text.ts';
import { fileError } from './errors.ts';
import { Owners } from './owners.ts';
import type { Place } from './place.ts';
import { removeTree } from './remove-tree.ts';

/** A new folder that only this user may enter, to build a tree in. All that is done in it starts at its descriptor. */
export type Staging = Disposable & {
  readonly folder: number;
  /** What an interrupted call had built, to be read from. */
  readonly part: number | undefined;
  /** The folder that is there now, to be read from. */
  readonly target: number | undefined;
  readonly owners: Owners;
  /** Whether this file system keeps permission bits, and times to the nanosecond. */
  readonly keepsModes: boolean;
  readonly keepsTimes: boolean;
};

const PROBE = Buffer.from('probe');
const PROBE_MODE = 0o751;
const PROBE_TIME_NS = 1_234_567_891_123_456_789n;
const ACLS = [Buffer.from('system.posix_acl_access'), Buffer.from('system.posix_acl_default')];

/** Opens the folder that holds the names beside for the time of `work`. @throws RESTORE_CONFLICT when it can't be opened */
export async function withHome<T>(place: Place, work: (home: number) => Promise<T>): Promise<T> {
  const home = openHome(place);
  try {
    return await work(home);
  } finally {
    closeSync(home);
  }
}

function openHome(place: Place): number {
  try {
    return openFolderAt(WORKING_FOLDER, bytesOf(place.home));
  } catch (error) {
    throw fileError('RESTORE_CONFLICT', `the folder ${printablePath(place.home)} can’t be opened`, error);
  }
}

/**
 * Creates the folder, and what is missing above the target. What an interrupted call left there is put aside as `part`.
 * @throws RESTORE_CONFLICT when nothing can be created there
 */
export async function openStaging(place: Place, run: Run): Promise<Staging> {
  await ensureHome(place);
  using opened = new DisposableStack();
  const keep = (descriptor: number): number => {
    opened.defer(() => closeSync(descriptor));
    return descriptor;
  };
  const home = openHome(place);
  try {
    await saveLeftover(home, place, run);
    const fresh = Buffer.from(place.beside.fresh);
    makeFolderAt(home, fresh, 0o700);
    const folder = keep(openFolderAt(home, fresh));
    // What the folder above hands down to new ones would be handed on to all that is restored.
    for (const acl of ACLS) removeXattrIfAny(folder, acl);
    fchmodSync(folder, 0o700);
    const probe = keep(openAt(folder, PROBE, constants.O_RDWR | constants.O_CREAT | constants.O_EXCL));
    removeFileAt(folder, PROBE);
    const part = openIfThere(home, Buffer.from(place.beside.part), keep);
    const target = place.exists ? openIfThere(WORKING_FOLDER, bytesOf(place.target), keep) : undefined;
    const kept = { folder, part, target, owners: new Owners(probe), ...probeFileSystem(probe) };
    const all = opened.move();
    return { ...kept, [Symbol.dispose]: () => all.dispose() };
  } catch (error) {
    throw fileError('RESTORE_CONFLICT', `nothing can be created in ${printablePath(place.home)}`, error);
  } finally {
    closeSync(home);
  }
}

async function ensureHome({ exists, home }: Place): Promise<void> {
  if (exists || lstatSync(systemPath(home), { throwIfNoEntry: false }) !== undefined) return;
  const text = lossyText(home);
  if (byteTextOf(text) !== home) {
    throw new TidemarkError('RESTORE_CONFLICT', `${printablePath(home)} is not there, and its name is not UTF-8`);
  }
  try {
    await ensureFolder(text, 0o777);
  } catch (error) {
    throw fileError('RESTORE_CONFLICT', `${printablePath(home)} can’t be created`, error);
  }
}

async function saveLeftover(home: number, { beside }: Place, run: Run): Promise<void> {
  const fresh = Buffer.from(beside.fresh);
  const left = openIfThere(home, fresh, (descriptor) => descriptor);
  if (left === undefined) return;
  closeSync(left);
  await removeTree(home, Buffer.from(beside.part), run);
  renameAt({ fromFolder: home, from: fresh, toFolder: home, to: Buffer.from(beside.part) }, 'replace');
}

function openIfThere(folder: number, name: Uint8Array, keep: (descriptor: number) => number): number | undefined {
  try {
    return keep(openFolderAt(folder, name));
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return undefined;
    throw error;
  }
}

function removeXattrIfAny(file: number, name: Uint8Array): void {
  try {
    removeXattr(file, name);
  } catch (error) {
    if (systemCode(error) !== 'ENOTSUP') throw error;
  }
}

function probeFileSystem(probe: number): Pick<Staging, 'keepsModes' | 'keepsTimes'> {
  fchmodSync(probe, PROBE_MODE);
  setTimesOfFile(probe, { mtimeNs: PROBE_TIME_NS });
  const { mode, mtimeNs } = statOpen(probe);
  return { keepsModes: (mode & 0o7777) === PROBE_MODE, keepsTimes: mtimeNs === PROBE_TIME_NS };
}
