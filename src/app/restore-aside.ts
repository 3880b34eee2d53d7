import { rm } from 'node:fs/promises';
import { isTidemarkError, TidemarkError } from '../core/errors.ts';
import type { Run } from '../core/run.ts';
import type { OpenApplication } from './application.ts';
import {
  isBeingUndone,
  isUnfinished,
  listJournals,
  placeText,
  refuseUnfinished,
  removeJournal,
  saveJournal,
} from './restore-journal.ts';
import type { JournalStore, RestoreJournal } from './restore-journal.ts';
import { lockRestore, openStore, workFolderOf } from './restore-place.ts';
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
  if (cutOff === undefined) refuseUnfinished(journals);
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

export type Leftover = { readonly store: string; readonly into: string; readonly keptAside?: string | undefined };

/** What `discardRestores` would delete: without `keptAside` it is what an unfinished restore has written. */
export async function listLeftovers(
  application: OpenApplication,
  stores: readonly string[],
): Promise<readonly Leftover[]> {
  const journals = discardable(await listJournals(application.stateFolder), stores);
  return journals.flatMap((journal) =>
    chosenIn(journal, stores).map((item) => ({ store: item.store, into: placeText(item), keptAside: item.keptAside })),
  );
}

/**
 * Deletes what restores (of these stores) left: where one is unfinished, what it has written and nothing else; otherwise what they kept aside.
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
  for (const journal of concerned) await refuseHalfDone(application, journal, stores);
  const results: RestoreUndoResult['stores'][number][] = [];
  for (const journal of concerned) {
    const chosen = chosenIn(journal, stores);
    for (const item of chosen) {
      const { connector, options, context } = await openStore(application, journal, item);
      if (journal.phase === 'swapping') {
        // What the server held before may be in there, and nowhere else.
        results.push({ store: item.store, into: placeText(item), givenUp: context.workFolder });
        continue;
      }
      await connector.discard(options, context, run);
      await rm(context.workFolder, { recursive: true, force: true });
      results.push({ store: item.store, into: placeText(item) });
    }
    const rest = journal.stores.filter((item) => !chosen.includes(item));
    if (rest.length === 0) {
      if (journal.phase !== 'swapping') {
        await rm(workFolderOf(application.stateFolder, journal.id), { recursive: true, force: true });
      }
      await removeJournal(application.stateFolder, journal.id);
    } else await save(application, { ...journal, stores: rest }, run);
  }
  return { action: 'discarded', stores: results };
}

/**
 * Between two exchanges only going on leads to something whole. A server that was named may be given up: it may be gone for ever, and would
 * keep all other restores waiting.
 */
async function refuseHalfDone(
  application: OpenApplication,
  journal: RestoreJournal,
  stores: readonly string[],
): Promise<void> {
  if (isBeingUndone(journal)) refuseUnfinished([journal]);
  if (journal.phase !== 'swapping') return;
  for (const item of chosenIn(journal, stores)) {
    const { connector, options, context } = await openStore(application, journal, item);
    if (stores.length === 0 || connector.canGiveUp?.(options, context) !== true) refuseUnfinished([journal]);
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
