import { closeSync, readdirSync } from 'node:fs';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { must } from '../../core/must.ts';
import type { Run } from '../../core/run.ts';
import { syncFolder } from '../../io/atomic-file.ts';
import { openFolderAt, statOpen } from '../../io/native-folder.ts';
import { setTimesOfFile } from '../../io/native-time.ts';
import { readXattrs, removeXattr } from '../../io/native-xattr.ts';
import { applyAttributes } from './apply-attributes.ts';
import { decodeAttributes, encodeAttributes } from './attributes.ts';
import type { Attributes } from './attributes.ts';
import { byteText, printablePath } from './byte-text.ts';
import { fileError, reasonOf } from './errors.ts';
import type { Journal } from './journal.ts';
import { isAsideName } from './patterns.ts';
import { comingIsGone, inodeAt, moveNew, tryExchange } from './swap.ts';
import type { Exchange } from './swap.ts';

/** The file system's own folder for what its check finds; it stays where it is. */
const LOST_AND_FOUND = Buffer.from('lost+found');
/** What an old child is called for a moment, where the file system can't exchange two names. */
const SPARE_SUFFIX = Buffer.from('.tidemark-spare');
const LONGEST_NAME = 255;
const BATCH = 100;

type Children = NonNullable<Journal['children']>;

/** What has to be known before the first child moves, to go on after a crash. `folder`: the name in `home` of the tree that comes in. */
export function childrenToExchange(home: number, folder: string): Children {
  const coming = openFolderAt(home, Buffer.from(folder));
  try {
    const inodes = namesIn(coming).map((name) => must(inodeAt(coming, name), 'a name just listed'));
    return { inodes, comingAttributes: attributesOf(coming), goingAttributes: attributesOf(home) };
  } finally {
    closeSync(coming);
  }
}

/**
 * For a folder that can't be renamed because something is mounted on it: exchanges what it holds, one child after another, with what the
 * folder beside (which lies in it) holds, then both folders' attributes, and gives that folder the aside name. May be called again after a
 * crash between any two steps. @throws RESTORE_FAILED when the system refuses a step
 */
export async function exchangeChildren(exchange: Exchange, journal: Journal, run: Run): Promise<void> {
  const { place, home } = exchange;
  const children = must(journal.children, 'the children in the journal');
  const [fresh, aside] = [Buffer.from(place.beside.fresh), Buffer.from(place.beside.aside)];
  const inFresh = inodeAt(home, fresh) === journal.coming;
  if (!inFresh && inodeAt(home, aside) !== journal.coming) {
    throw comingIsGone(place);
  }
  if (!inFresh && journal.purpose === 'restore') return;
  const beside = openFolderAt(home, inFresh ? fresh : aside);
  try {
    await moveChildren({ target: home, beside, coming: new Set(children.inodes) }, run);
    exchangeAttributes(exchange, beside, children);
    await syncFolder(`/proc/self/fd/${beside}`);
    if (inFresh) moveNew({ fromFolder: home, from: fresh, toFolder: home, to: aside });
    await syncFolder(`/proc/self/fd/${home}`);
  } catch (error) {
    run.signal.throwIfAborted();
    throw fileError('RESTORE_FAILED', `what ${printablePath(place.target)} holds can’t be exchanged`, error);
  } finally {
    closeSync(beside);
  }
}

/** After the last name in it was made: only then does the folder keep its time. */
export function settleTime(home: number, { comingAttributes }: Children): void {
  const { mtimeNs } = decodeAttributes(Buffer.from(comingAttributes, 'base64'));
  setTimesOfFile(home, { mtimeNs });
}

type Folders = { readonly target: number; readonly beside: number; readonly coming: ReadonlySet<string> };

async function moveChildren({ target, beside, coming }: Folders, run: Run): Promise<void> {
  let count = 0;
  const pause = async (): Promise<void> => {
    if (++count % BATCH === 0) await nextTurn();
    run.signal.throwIfAborted();
  };
  const isComing = (folder: number, name: Buffer): boolean => coming.has(inodeAt(folder, name) ?? '');
  finishSpares(beside, target);
  for (const name of namesIn(beside)) {
    await pause();
    if (!isComing(beside, name)) continue;
    if (inodeAt(target, name) === null) moveNew({ fromFolder: beside, from: name, toFolder: target, to: name });
    else if (!name.equals(LOST_AND_FOUND)) exchangeChild(beside, target, name);
  }
  for (const name of namesIn(target)) {
    await pause();
    if (isAsideName(byteText(name)) || name.equals(LOST_AND_FOUND) || isComing(target, name)) continue;
    moveNew({ fromFolder: target, from: name, toFolder: beside, to: name });
  }
}

function exchangeChild(beside: number, target: number, name: Buffer): void {
  if (tryExchange({ fromFolder: beside, from: name, toFolder: target, to: name })) return;
  moveNew({ fromFolder: target, from: name, toFolder: beside, to: spareOf(name) });
  finishSpare(beside, target, name);
}

function spareOf(name: Buffer): Buffer {
  return Buffer.concat([name.subarray(0, LONGEST_NAME - SPARE_SUFFIX.byteLength), SPARE_SUFFIX]);
}

/** A crash between the renames of one child left a spare name. */
function finishSpares(beside: number, target: number): void {
  for (const spare of namesIn(beside)) {
    if (spare.subarray(-SPARE_SUFFIX.byteLength).equals(SPARE_SUFFIX)) {
      finishSpare(beside, target, spare.subarray(0, -SPARE_SUFFIX.byteLength));
    }
  }
}

function finishSpare(beside: number, target: number, name: Buffer): void {
  if (inodeAt(target, name) === null && inodeAt(beside, name) !== null) {
    moveNew({ fromFolder: beside, from: name, toFolder: target, to: name });
  }
  moveNew({ fromFolder: beside, from: spareOf(name), toFolder: beside, to: name });
}

function namesIn(folder: number): Buffer[] {
  return readdirSync(`/proc/self/fd/${folder}`, { encoding: 'buffer' }).sort(Buffer.compare);
}

function attributesOf(folder: number): string {
  const { mode, uid, gid, mtimeNs } = statOpen(folder);
  const xattrs = readXattrs(folder).toSorted((left, right) => Buffer.compare(left.name, right.name));
  const attributes: Attributes = { type: 'folder', mode: mode & 0o7777, uid, gid, mtimeNs, sizeBytes: 0, xattrs };
  return Buffer.from(encodeAttributes(attributes)).toString('base64');
}

function exchangeAttributes({ place, home, runtime }: Exchange, beside: number, children: Children): void {
  const give = (folder: number, encoded: string): void => {
    const attributes = decodeAttributes(Buffer.from(encoded, 'base64'));
    const warn = (reason: string): void => {
      runtime.logger.log('warn', 'attributes of the folder can’t be set', {
        folder: printablePath(place.target),
        reason,
      });
    };
    try {
      removeOtherXattrs(folder, attributes, warn);
      const now = statOpen(folder);
      const owner =
        now.uid === attributes.uid && now.gid === attributes.gid ? { exact: true } : { ...attributes, exact: true };
      applyAttributes(folder, attributes, owner, warn);
    } catch (error) {
      // The data is in place; a mount point may belong to someone else.
      warn(reasonOf(error));
    }
  };
  give(home, children.comingAttributes);
  give(beside, children.goingAttributes);
}

function removeOtherXattrs(folder: number, { xattrs }: Attributes, warn: (reason: string) => void): void {
  for (const { name } of readXattrs(folder)) {
    if (xattrs.some((xattr) => Buffer.compare(xattr.name, name) === 0)) continue;
    try {
      removeXattr(folder, name);
    } catch (error) {
      warn(reasonOf(error));
    }
  }
}
