import { closeSync, existsSync, lstatSync, openSync, readdirSync, readFileSync, renameSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { systemCode, TidemarkError } from '../../core/errors.ts';
import { assume } from '../../core/must.ts';
import type { RandomBytes, Run } from '../../core/run.ts';
import { removePartials, replaceFile, syncFolder } from '../../io/atomic-file.ts';
import { syncFileSystem } from '../../io/native-file.ts';
import { renameAt, WORKING_FOLDER } from '../../io/native-folder.ts';
import type { TargetPlace } from './target-place.ts';

/**
 * What is durable of the exchange of two data directories. `verified`: the new one is whole, nothing was exchanged. `exchanging`: begun, only
 * going on is possible. Inodes tell the folders apart after a crash at any moment.
 */
export type SwapJournal = {
  readonly version: 1;
  readonly state: 'verified' | 'exchanging' | 'exchanged';
  /** How many undos there were, one that has begun included. */
  readonly turn: number;
  /** Inode of the folder that comes in, and of the one that goes out; null for none. */
  readonly coming: string | null;
  readonly going: string | null;
};

/** @throws RESTORE_FAILED when it can't be understood */
export function readJournal({ journal }: TargetPlace): SwapJournal | undefined {
  if (!existsSync(journal)) return undefined;
  try {
    const parsed = JSON.parse(readFileSync(journal, 'utf8')) as SwapJournal; // only `writeJournal` writes it
    assume(parsed.version === 1, 'a journal of version 1');
    return parsed;
  } catch (error) {
    throw new TidemarkError('RESTORE_FAILED', `the journal ${journal} of an earlier restore is damaged`, {
      cause: error,
    });
  }
}

/** Durable when it resolves; a crash leaves the old one or the new one. */
export async function writeJournal(
  place: TargetPlace,
  journal: SwapJournal,
  random: RandomBytes,
  run: Run,
): Promise<SwapJournal> {
  await replaceFile(place.journal, [Buffer.from(JSON.stringify(journal))], { mode: 0o600, random }, run);
  await removePartials(place.journal);
  return journal;
}

export function inodeOf(path: string): string | null {
  return lstatSync(path, { throwIfNoEntry: false, bigint: true })?.ino.toString() ?? null;
}

/**
 * Brings the folder with the inode `coming` to the target's name and the one with `going` to the aside name, in one step where the file system
 * can. Looks at what is where and does what is missing: it may be called again after a crash between any two steps.
 * Returns the journal as it came true: what went away by itself is not kept aside.
 * @throws RESTORE_CONFLICT when going on is impossible
 */
export async function exchangeFolders(place: TargetPlace, begun: SwapJournal): Promise<SwapJournal> {
  const journal = withoutLost(place, begun);
  for (let step = nextStep(place, journal); step !== 'done'; step = nextStep(place, journal)) {
    if (step === 'stuck') throw stuck(place, journal);
    step();
  }
  await syncFolder(place.home);
  return journal;
}

/** Whether what was verified or begun can still come to its end, as far as the names tell. Changes nothing. */
export function canGoOn(place: TargetPlace, journal: SwapJournal): boolean {
  if (journal.state === 'exchanged') return true;
  if (journal.state === 'verified') return inodeOf(place.fresh) === journal.coming;
  return nextStep(place, withoutLost(place, journal)) !== 'stuck';
}

/** Where nothing but what comes in is left, what was to go out is gone, and nothing is in the way. */
function withoutLost({ target, fresh, aside }: TargetPlace, journal: SwapJournal): SwapJournal {
  const there = [target, fresh, aside].map(inodeOf).filter((inode) => inode !== null);
  const isAlone = journal.coming !== null && there.length === 1 && there[0] === journal.coming;
  return isAlone ? { ...journal, going: null } : journal;
}

/** What is to be done next. */
function nextStep(
  { target, fresh, aside }: TargetPlace,
  { coming, going }: SwapJournal,
): (() => void) | 'done' | 'stuck' {
  const [atTarget, atFresh, atAside] = [target, fresh, aside].map(inodeOf);
  const is = (wantTarget: string | null, wantFresh: string | null, wantAside: string | null): boolean =>
    atTarget === wantTarget && atFresh === wantFresh && atAside === wantAside;
  if (is(coming, null, going)) return 'done';
  // An undo begins with the folder at the aside name.
  if (coming !== null && is(going, null, coming)) return () => renameSync(aside, fresh);
  if (coming === null && is(going, null, null)) return () => renameSync(target, aside);
  if (going === null && is(null, coming, null)) return () => renameSync(fresh, target);
  if (is(going, coming, null)) {
    return () => {
      if (!tryExchange(fresh, target)) renameSync(target, aside);
    };
  }
  if (is(coming, going, null)) return () => renameSync(fresh, aside);
  if (is(null, coming, going)) return () => renameSync(fresh, target);
  return 'stuck';
}

function stuck(place: TargetPlace, { coming, going }: SwapJournal): TidemarkError {
  const { target, fresh, aside } = place;
  const [atTarget, atFresh, atAside] = [target, fresh, aside].map(inodeOf);
  const isGone = atTarget !== coming && atFresh === null && (atAside === null || atAside === going);
  if (isGone && coming !== null) return comingIsGone(place);
  return new TidemarkError('RESTORE_CONFLICT', `another folder took the place of ${target} meanwhile`, {
    hint: `Look at the names beside it that contain “tidemark”, and move away what does not belong there. Or ${GIVE_UP}`,
  });
}

function comingIsGone({ target }: TargetPlace): TidemarkError {
  return new TidemarkError('RESTORE_CONFLICT', `what was to take the place of ${target} is gone`, {
    hint: `Put it back under its name. Or ${GIVE_UP}`,
  });
}

const GIVE_UP = 'give it up with `tidemark restore --discard STORE`, which deletes no data.';

function tryExchange(from: string, to: string): boolean {
  const places = { from: Buffer.from(from), to: Buffer.from(to) };
  try {
    renameAt({ fromFolder: WORKING_FOLDER, toFolder: WORKING_FOLDER, ...places }, 'exchange');
    return true;
  } catch (error) {
    const code = systemCode(error);
    if (code === 'EINVAL' || code === 'ENOSYS' || code === 'ENOTSUP') return false;
    throw error;
  }
}

/** The folder in the making is whole: from now on `swapIn` may exchange it. */
export async function markVerified(place: TargetPlace, random: RandomBytes, run: Run): Promise<void> {
  const links = join(place.fresh, 'pg_tblspc');
  const tablespaces = existsSync(links) ? readdirSync(links).map((oid) => join(links, oid)) : [];
  // Each may lie on a file system of its own.
  for (const path of [place.fresh, ...tablespaces]) {
    const folder = openSync(path, 'r');
    try {
      await syncFileSystem(folder);
    } finally {
      closeSync(folder);
    }
  }
  const journal = { version: 1, state: 'verified', turn: 0, coming: inodeOf(place.fresh), going: null } as const;
  await writeJournal(place, journal, random, run);
}

/**
 * Goes on from wherever an earlier call ended. `check` is asked before anything is exchanged.
 * @throws RESTORE_UNFINISHED when nothing is verified
 */
export async function swapIn(
  place: TargetPlace,
  { random, check }: { readonly random: RandomBytes; check(): void },
  run: Run,
): Promise<{ readonly keptAside?: string | undefined }> {
  const { target, fresh, aside } = place;
  let journal = readJournal(place);
  if (journal === undefined || journal.turn > 0) {
    throw new TidemarkError('RESTORE_UNFINISHED', `nothing is verified beside ${target}`);
  }
  if (journal.state === 'verified') {
    check();
    if (inodeOf(fresh) === null) throw comingIsGone(place);
    if (inodeOf(fresh) !== journal.coming) {
      throw new TidemarkError('RESTORE_CONFLICT', `what was restored beside ${target} was replaced`);
    }
    journal = await writeJournal(place, { ...journal, state: 'exchanging', going: inodeOf(target) }, random, run);
  }
  if (journal.state === 'exchanging') {
    journal = await exchangeFolders(place, journal);
    journal = await writeJournal(place, { ...journal, state: 'exchanged' }, random, run);
  }
  return journal.going === null ? {} : { keptAside: aside };
}

/** Before a restore writes again. @throws RESTORE_UNFINISHED when the exchange has begun: from then on only `swapIn` may go on */
export async function forgetVerified(place: TargetPlace): Promise<void> {
  const journal = readJournal(place);
  if (journal === undefined) return;
  if (journal.state !== 'verified') {
    throw new TidemarkError('RESTORE_UNFINISHED', `the exchange of ${place.target} has begun already`);
  }
  await rm(place.journal);
}
