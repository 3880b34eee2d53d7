import { rm, rmdir } from 'node:fs/promises';
import { isTidemarkError, systemCode, TidemarkError } from '../core/errors.ts';
import type { Run } from '../core/run.ts';
import type { OpenApplication } from './application.ts';
import {
  isBeingUndone,
  isUnfinished,
  listJournals,
  placeText,
  removeJournal,
  saveJournal,
  unfinishedError,
} from './restore-journal.ts';
import type { JournalStore, LostStore, RestoreJournal } from './restore-journal.ts';
import { givableStores, lockRestore, openStore, refuseUnfinished, workFolderOf } from './restore-place.ts';
import type { RestoreUndoResult } from './results.ts';

/**
 * Puts back what the last restore (of these stores) kept aside; once more puts back what was restored. An undo that was cut off is finished
 * first, and alone. @throws NOTHING_TO_RESUME, RESTORE_UNFINISHED
 */
export async function undoRestore(
  application: OpenApplication,
  stores: readonly string[],
  run: Run,
): Promise<RestoreUndoResult> {
  await using _lock = await lockRestore(application);
  const journals = await listJournals(application.stateFolder);
  const cutOff = journals.find(isBeingUndone);
  if (cutOff === undefined) await refuseUnfinished(application, journals, run);
  const found = cutOff ?? journals.findLast((journal) => stores.every((name) => storeOf(journal, name) !== undefined));
  if (found === undefined) {
    throw new TidemarkError('NOTHING_TO_RESUME', `no restore of this host${ofStores(stores)} can be undone`);
  }
  const isChosen = ({ store }: JournalStore): boolean => stores.length === 0 || stores.includes(store);
  let journal = cutOff ?? {
    ...found,
    stores: found.stores.map((item) => (isChosen(item) ? { ...item, turn: item.turn + 1, undoing: true } : item)),
  };
  await save(application, journal, run);
  const results: RestoreUndoResult['stores'][number][] = [];
  for (const item of journal.stores.filter(({ undoing }) => undoing)) {
    const { connector, options, context } = await openStore(application, journal, item);
    const { turn } = item;
    try {
      const { keptAside } = await connector.undo(options, { ...context, turn }, run);
      journal = withStore(journal, { ...item, keptAside, undoing: false });
      const holds = turn % 2 === 1 ? 'before' : 'restored';
      results.push({ store: item.store, into: placeText(item), holds, keptAside });
    } catch (error) {
      if (!isTidemarkError(error, 'NOTHING_TO_RESUME')) throw error;
      // Nothing was begun, so nothing has to be finished.
      await save(application, withStore(journal, { ...item, turn: turn - 1, undoing: false }), run);
      throw error;
    }
    await save(application, journal, run);
  }
  return { action: 'undone', stores: results };
}

/** Without `keptAside` and `state` it is what an unfinished restore has written. `state`: nothing is deleted, but a half-done exchange given up. */
export type Leftover = {
  readonly store: string;
  readonly into: string;
  readonly keptAside?: string | undefined;
  readonly state?: string | undefined;
};

/** What `discardRestores` would delete or give up. */
export async function listLeftovers(
  application: OpenApplication,
  stores: readonly string[],
  run: Run,
): Promise<readonly Leftover[]> {
  const leftovers: Leftover[] = [];
  for (const journal of discardable(await listJournals(application.stateFolder), stores)) {
    const givable = await givableStores(application, journal, run);
    for (const item of chosenIn(journal, stores)) {
      const state = givable.find(({ store }) => store === item.store)?.state;
      leftovers.push({ store: item.store, into: placeText(item), keptAside: item.keptAside, state });
    }
  }
  return leftovers;
}

/**
 * Deletes what restores (of these stores) left: where one is unfinished, what it has written and nothing else; otherwise what they kept aside.
 * What was cut off in the exchange is given up where that is possible, and then nothing of it is deleted.
 * @throws NOTHING_TO_RESUME, RESTORE_UNFINISHED
 */
export async function discardRestores(
  application: OpenApplication,
  stores: readonly string[],
  run: Run,
): Promise<RestoreUndoResult> {
  await using _lock = await lockRestore(application);
  const journals = await listJournals(application.stateFolder);
  const concerned = discardable(journals, stores);
  if (concerned.length === 0) {
    throw new TidemarkError('NOTHING_TO_RESUME', `no restore of this host${ofStores(stores)} left anything`);
  }
  const allGivable = new Map<RestoreJournal, readonly LostStore[]>();
  for (const journal of concerned) {
    const givable = await givableStores(application, journal, run);
    refuseHalfDone({ journal, stores, givable });
    allGivable.set(journal, givable);
  }
  const results: RestoreUndoResult['stores'][number][] = [];
  for (const [journal, givable] of allGivable) {
    results.push(...(await discardOne(application, { journal, stores, givable }, run)));
  }
  return { action: 'discarded', stores: results };
}

type Discard = {
  readonly journal: RestoreJournal;
  readonly stores: readonly string[];
  readonly givable: readonly LostStore[];
};

/** What is given up keeps its work folder: what a server held before may be in there, and nowhere else. */
async function discardOne(
  application: OpenApplication,
  { journal, stores, givable }: Discard,
  run: Run,
): Promise<RestoreUndoResult['stores'][number][]> {
  const results: RestoreUndoResult['stores'][number][] = [];
  const chosen = chosenIn(journal, stores);
  for (const item of chosen) {
    const { connector, options, context } = await openStore(application, journal, item);
    const about = { store: item.store, into: placeText(item) };
    const given = givable.find(({ store }) => store === item.store);
    if (given === undefined) {
      await connector.discard(options, context, run);
      await rm(context.workFolder, { recursive: true, force: true });
      results.push(about);
    } else {
      await connector.giveUp?.(options, context, run);
      results.push({ ...about, givenUp: given.folder, state: given.state });
    }
  }
  const rest = journal.stores.filter((item) => !chosen.includes(item));
  if (rest.length === 0) {
    await removeIfEmpty(workFolderOf(application.stateFolder, journal.id));
    await removeJournal(application.stateFolder, journal.id);
  } else await save(application, { ...journal, stores: rest }, run);
  return results;
}

/**
 * Between two exchanges only going on leads to something whole. A store that was named may be given up where that is impossible, or takes a
 * server that may be gone for ever: it would keep all other restores waiting. @throws RESTORE_UNFINISHED
 */
function refuseHalfDone({ journal, stores, givable }: Discard): void {
  if (journal.phase !== 'swapping' && !isBeingUndone(journal)) return;
  const isGivable = ({ store }: JournalStore): boolean => givable.some((given) => given.store === store);
  if (stores.length === 0 || !chosenIn(journal, stores).every(isGivable)) throw unfinishedError(journal, givable);
}

async function removeIfEmpty(folder: string): Promise<void> {
  try {
    await rmdir(folder);
  } catch (error) {
    const code = systemCode(error);
    if (code !== 'ENOENT' && code !== 'ENOTEMPTY' && code !== 'EEXIST') throw error;
  }
}

function withStore(journal: RestoreJournal, changed: JournalStore): RestoreJournal {
  const stores = journal.stores.map((item) => (item.store === changed.store ? changed : item));
  return { ...journal, stores };
}

/** Whoever drops an unfinished restore does not mean the data that an earlier one kept aside. */
function discardable(journals: readonly RestoreJournal[], stores: readonly string[]): readonly RestoreJournal[] {
  const concerned = journals.filter((journal) => chosenIn(journal, stores).length > 0);
  const unfinished = concerned.filter(isUnfinished);
  return unfinished.length > 0 ? unfinished : concerned;
}

function storeOf(journal: RestoreJournal, name: string): JournalStore | undefined {
  return journal.stores.find(({ store }) => store === name);
}

function chosenIn(journal: RestoreJournal, names: readonly string[]): readonly JournalStore[] {
  return journal.stores.filter(({ store }) => names.length === 0 || names.includes(store));
}

function ofStores(names: readonly string[]): string {
  return names.length === 0 ? '' : ` of ${names.join(' and ')}`;
}

async function save(application: OpenApplication, journal: RestoreJournal, run: Run): Promise<void> {
  const { stateFolder, context } = application;
  await saveJournal({ stateFolder, journal, random: context.runtime.random }, run);
}
