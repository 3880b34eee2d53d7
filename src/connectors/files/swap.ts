import { systemCode, TidemarkError } from '../../core/errors.ts';
import { assume } from '../../core/must.ts';
import type { Run, Runtime } from '../../core/run.ts';
import { syncFolder } from '../../io/atomic-file.ts';
import type { PathBytes } from '../../io/native.ts';
import { renameAt, statAt } from '../../io/native-folder.ts';
import { bytesOf, lossyText, printablePath } from './byte-text.ts';
import { fileError } from './errors.ts';
import { writeJournal } from './journal.ts';
import type { Journal } from './journal.ts';
import type { Place } from './place.ts';

/** Where an exchange works: `home` is the open folder of the names. */
export type Exchange = { readonly place: Place; readonly home: number; readonly runtime: Runtime };

/**
 * Brings the tree with the inode `coming` to the target's name and the one with `going` to the aside name, where it was before: in one
 * step where the file system can. Looks at what is where and does what is missing, so that it may be called again after a crash between
 * any two steps.
 * @throws RESTORE_CONFLICT when something else came in between; RESTORE_FAILED when the system refuses a step
 */
export async function exchangeFolders({ place, home }: Exchange, journal: Journal): Promise<void> {
  const names: Names = {
    home,
    target: bytesOf(place.name),
    fresh: Buffer.from(place.beside.fresh),
    aside: Buffer.from(place.beside.aside),
  };
  try {
    for (let step = nextStep(names, journal); step !== undefined; step = nextStep(names, journal)) step();
    await syncFolder(`/proc/self/fd/${home}`);
  } catch (error) {
    throw fileError('RESTORE_FAILED', `the folder ${printablePath(place.target)} can’t be exchanged`, error);
  }
}

/** Durable: the exchange has begun, or has ended. */
export async function noteState(exchange: Exchange, journal: Journal, run: Run): Promise<Journal> {
  const { home, place, runtime } = exchange;
  await writeJournal({ home, name: place.beside.journal, random: runtime.random }, journal, run);
  return journal;
}

/** Path of what is kept aside, for people. */
export function asidePath({ home, beside }: Place): string {
  return `${lossyText(home)}/${beside.aside}`;
}

/** The inode at a name, or null when nothing is there. */
export function inodeAt(home: number, name: PathBytes): string | null {
  try {
    return statAt(home, name).inode.toString();
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return null;
    throw error;
  }
}

type Names = { readonly home: number; readonly target: Buffer; readonly fresh: Buffer; readonly aside: Buffer };

/** What is to be done next; undefined when all is where it should be. */
function nextStep(names: Names, { coming, going }: Journal): (() => void) | undefined {
  const { home, target, fresh, aside } = names;
  const [atTarget, atFresh, atAside] = [inodeAt(home, target), inodeAt(home, fresh), inodeAt(home, aside)];
  const is = (wantTarget: string | null, wantFresh: string | null, wantAside: string | null): boolean =>
    atTarget === wantTarget && atFresh === wantFresh && atAside === wantAside;
  if (is(coming, null, going)) return undefined;
  assume(coming !== null || going !== null, 'something to exchange');
  // Undo begins with the tree at the aside name.
  if (coming !== null && is(going, null, coming)) return () => move(home, aside, fresh);
  if (coming === null && is(going, null, null)) return () => move(home, target, aside);
  if (going === null && is(null, coming, null)) return () => move(home, fresh, target);
  if (is(going, coming, null)) {
    return () => {
      if (!tryExchange({ fromFolder: home, from: fresh, toFolder: home, to: target })) move(home, target, aside);
    };
  }
  if (is(coming, going, null)) return () => move(home, fresh, aside);
  if (is(null, coming, going)) return () => move(home, fresh, target);
  throw new TidemarkError('RESTORE_CONFLICT', 'another folder took its place meanwhile', {
    hint: 'Look at the names beside the folder that contain “tidemark”; nothing was deleted.',
  });
}

function move(home: number, from: Buffer, to: Buffer): void {
  moveNew({ fromFolder: home, from, toFolder: home, to });
}

type TwoPlaces = Parameters<typeof renameAt>[0];

/** Renames to a name that is free. */
export function moveNew(places: TwoPlaces): void {
  try {
    renameAt(places, 'keep');
  } catch (error) {
    if (!isUnknown(error)) throw error;
    assume(inodeAt(places.toFolder, places.to) === null, 'a free name');
    renameAt(places, 'replace');
  }
}

/** Exchanges two names in one step. False where the file system does not know that; then nothing has changed. */
export function tryExchange(places: TwoPlaces): boolean {
  try {
    renameAt(places, 'exchange');
    return true;
  } catch (error) {
    if (!isUnknown(error)) throw error;
    return false;
  }
}

function isUnknown(error: unknown): boolean {
  const code = systemCode(error);
  return code === 'EINVAL' || code === 'ENOSYS' || code === 'ENOTSUP';
}
