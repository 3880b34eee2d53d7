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
 * any two steps. Returns the journal as it came true: what went away by itself is not kept aside.
 * @throws RESTORE_CONFLICT when going on is impossible; RESTORE_FAILED when the system refuses a step
 */
export async function exchangeFolders({ place, home, runtime }: Exchange, begun: Journal): Promise<Journal> {
  const names = namesOf(place, home);
  try {
    const journal = withoutLost(names, begun);
    if (journal.going !== begun.going) {
      runtime.logger.log('warn', 'what was there before is gone, so that nothing is kept aside', {
        folder: printablePath(place.target),
      });
    }
    for (let step = nextStep(names, journal); step !== 'done'; step = nextStep(names, journal)) {
      if (step === 'stuck') throw stuck(place, names, journal);
      step();
    }
    await syncFolder(`/proc/self/fd/${home}`);
    return journal;
  } catch (error) {
    throw fileError('RESTORE_FAILED', `the folder ${printablePath(place.target)} can’t be exchanged`, error);
  }
}

/** Whether what was verified or begun can still come to its end, as far as the names tell. Changes nothing. */
export function canGoOn({ place, home }: Pick<Exchange, 'place' | 'home'>, journal: Journal): boolean {
  const names = namesOf(place, home);
  if (journal.state === 'exchanged') return true;
  if (journal.state === 'verified') return inodeAt(home, names.fresh) === journal.coming;
  if (journal.children === undefined) return nextStep(names, withoutLost(names, journal)) !== 'stuck';
  return [names.fresh, names.aside].some((name) => inodeAt(home, name) === journal.coming);
}

function namesOf({ name, beside }: Place, home: number): Names {
  return { home, target: bytesOf(name), fresh: Buffer.from(beside.fresh), aside: Buffer.from(beside.aside) };
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

/** Where nothing but what comes in is left, what was to go out is gone, and nothing is in the way. */
function withoutLost({ home, target, fresh, aside }: Names, journal: Journal): Journal {
  const there = [target, fresh, aside].map((name) => inodeAt(home, name)).filter((inode) => inode !== null);
  const isAlone = journal.coming !== null && there.length === 1 && there[0] === journal.coming;
  return isAlone ? { ...journal, going: null } : journal;
}

/** What is to be done next. */
function nextStep(names: Names, { coming, going }: Journal): (() => void) | 'done' | 'stuck' {
  const { home, target, fresh, aside } = names;
  const [atTarget, atFresh, atAside] = [inodeAt(home, target), inodeAt(home, fresh), inodeAt(home, aside)];
  const is = (wantTarget: string | null, wantFresh: string | null, wantAside: string | null): boolean =>
    atTarget === wantTarget && atFresh === wantFresh && atAside === wantAside;
  if (is(coming, null, going)) return 'done';
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
  return 'stuck';
}

function stuck(place: Place, { home, target, fresh, aside }: Names, { coming, going }: Journal): TidemarkError {
  const [atTarget, atFresh, atAside] = [inodeAt(home, target), inodeAt(home, fresh), inodeAt(home, aside)];
  const isGone = atTarget !== coming && atFresh === null && (atAside === null || atAside === going);
  return isGone && coming !== null ? comingIsGone(place) : anotherIsThere(place);
}

/** What was verified was taken away before it came in. */
export function comingIsGone({ target }: Place): TidemarkError {
  return new TidemarkError('RESTORE_CONFLICT', `what was to take the place of ${printablePath(target)} is gone`, {
    hint: `Put it back under its name. Or ${GIVE_UP}`,
  });
}

function anotherIsThere({ target }: Place): TidemarkError {
  return new TidemarkError('RESTORE_CONFLICT', `another folder took the place of ${printablePath(target)} meanwhile`, {
    hint: `Look at the names beside it that contain “tidemark”, and move away what does not belong there. Or ${GIVE_UP}`,
  });
}

const GIVE_UP = 'give it up with `tidemark restore --discard STORE`, which deletes no data.';

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
