import { accessSync, constants, readdirSync, readFileSync, statfsSync } from 'node:fs';
import type { PreviewContext, RestorePreview } from '../../core/connector.ts';
import { isRemoteType } from '../../io/disk.ts';
import { nativeAvailable } from '../../io/native.ts';
import { isTidemarkError, systemCode } from '../../core/errors.ts';
import type { ByteText } from './byte-text.ts';
import { lossyText, printablePath, systemPath } from './byte-text.ts';
import { reasonOf } from './errors.ts';
import { isAsideName } from './patterns.ts';
import { findPlace } from './place.ts';
import type { Place } from './place.ts';
import type { FilesStore } from './store.ts';

/** `f_type` of file systems that do not exchange two names in one step: FAT, exFAT. The remote ones don't either. */
const WITHOUT_EXCHANGE: ReadonlySet<number> = new Set([0x4d44, 0x2011bab0]);

/** Stands for an id that is not known yet; nothing is ever written under it. */
const NO_ID = 'id';

/** Looks what a restore would do there. Writes nothing. */
export function previewRestore(store: FilesStore, context: PreviewContext): RestorePreview {
  const folder = context.target ?? store.folder;
  try {
    return previewPlace(findPlace(folder, context.id ?? NO_ID), context);
  } catch (error) {
    if (!isTidemarkError(error)) throw error;
    return {
      into: folder,
      inOneStep: false,
      replaces: false,
      freeBytes: 0,
      sideEffects: [],
      blockers: [error.message],
    };
  }
}

function previewPlace(place: Place, { id, only }: PreviewContext): RestorePreview {
  const existing = existingAncestor(place.home);
  const { type, bavail, bsize } = statfsSync(systemPath(existing));
  const sideEffects: string[] = [];
  const replaces = place.exists && holdsAnything(place.target);
  const into = lossyText(place.target);
  if (place.mounted) {
    sideEffects.push(`${into} is a mount point: what it holds is exchanged one after another, not in one step`);
  }
  if (replaces) sideEffects.push(`what is there now is kept aside ${asideText(place, id)}`);
  if (only !== undefined && only.length > 0 && place.exists) {
    sideEffects.push('what --only does not match is copied from what is there now');
  }
  return {
    into,
    inOneStep: !place.mounted && !WITHOUT_EXCHANGE.has(type >>> 0) && !isRemoteType(type),
    replaces,
    freeBytes: bavail * bsize,
    sideEffects,
    blockers: blockersOf(place, existing),
  };
}

function asideText({ home, beside }: Place, id: string | undefined): string {
  const folder = lossyText(home);
  if (id !== undefined) return `as ${folder}/${beside.aside}`;
  return `in ${folder}, as ${beside.aside.slice(0, -NO_ID.length)} and an id that the restore chooses`;
}

function blockersOf(place: Place, existing: ByteText): string[] {
  const blockers: string[] = [];
  if (!nativeAvailable()) {
    blockers.push('this machine offers no native system calls, without which nothing is restored');
  }
  try {
    accessSync(systemPath(existing), constants.W_OK | constants.X_OK);
  } catch (error) {
    const reason = systemCode(error) === 'EACCES' ? 'this user may not write there' : reasonOf(error);
    blockers.push(`nothing can be created in ${printablePath(existing)}: ${reason}`);
  }
  for (const mount of place.exists ? mountsInside(place.target) : []) {
    blockers.push(
      `another file system is mounted at ${printablePath(mount)}: unmount it first, or restore elsewhere with --into`,
    );
  }
  return blockers;
}

function existingAncestor(path: ByteText): ByteText {
  let at = path;
  while (at !== '/') {
    try {
      accessSync(systemPath(at));
      return at;
    } catch {
      at = at.slice(0, at.lastIndexOf('/')) || '/';
    }
  }
  return at;
}

function holdsAnything(folder: ByteText): boolean {
  try {
    return readdirSync(systemPath(folder), { encoding: 'latin1' }).some((name) => !isAsideName(name));
  } catch {
    // A folder that can't be listed is not taken for empty.
    return true;
  }
}

/** Where the kernel has something mounted below a folder; the fifth field, with some bytes as `\ooo`. */
function mountsInside(folder: ByteText): ByteText[] {
  const lines = readFileSync('/proc/self/mountinfo', 'latin1').split('\n');
  const points = lines.map((line) => line.split(' ')[4] ?? '');
  const decoded = points.map((point) =>
    point.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8))),
  );
  return decoded.filter((point) => point.startsWith(`${folder}/`));
}
