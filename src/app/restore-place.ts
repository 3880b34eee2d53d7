import { join } from 'node:path';
import { isTidemarkError } from '../core/errors.ts';
import type { Run } from '../core/run.ts';
import { lockOrBusy } from '../io/lock.ts';
import type { OpenApplication } from './application.ts';
import { isHalfDone, isUnfinished, listJournals, unfinishedError } from './restore-journal.ts';
import type { JournalStore, LostStore, RestoreJournal } from './restore-journal.ts';
import { resolveStore } from './store-place.ts';

/** One restore at a time on this host. @throws BUSY */
export function lockRestore(application: OpenApplication): Promise<AsyncDisposable> {
  const { runtime, processId } = application.context;
  const holder = { processId, command: 'restore', sinceMs: runtime.clock.nowMs() };
  return lockOrBusy(join(application.stateFolder, 'restore.lock'), holder, 'restoring on this host');
}

/** @throws BUSY while another restore is at work, RESTORE_UNFINISHED when one was cut off */
export async function refuseOtherRestores(application: OpenApplication, run: Run): Promise<void> {
  const journals = await listJournals(application.stateFolder);
  if (!journals.some(isUnfinished)) return;
  // What is unfinished while its process lives was not cut off.
  await using _lock = await lockRestore(application);
  await refuseUnfinished(application, await listJournals(application.stateFolder), run);
}

/** @throws RESTORE_UNFINISHED when one of these was cut off, saying how to go on */
export async function refuseUnfinished(
  application: OpenApplication,
  journals: readonly RestoreJournal[],
  run: Run,
): Promise<void> {
  const unfinished = journals.find(isUnfinished);
  if (unfinished === undefined) return;
  throw unfinishedError(unfinished, await givableStores(application, unfinished, run));
}

/** Which stores of a restore or an undo that was cut off can be given up. One that can’t be looked at is none of them. */
export async function givableStores(
  application: OpenApplication,
  journal: RestoreJournal,
  run: Run,
): Promise<readonly LostStore[]> {
  const givable: LostStore[] = [];
  for (const item of journal.stores.filter((store) => isHalfDone(journal, store))) {
    try {
      const { connector, options, context } = await openStore(application, journal, item);
      const given = await connector.ifGivenUp?.(options, context, run);
      if (given !== undefined) givable.push({ ...given, store: item.store });
    } catch (error) {
      if (!isTidemarkError(error) || run.signal.aborted) throw error;
    }
  }
  return givable;
}

/** The connector of a store that a journal names, and what its methods take. */
export async function openStore(application: OpenApplication, journal: RestoreJournal, item: JournalStore) {
  const { connector, options } = await resolveStore(application.context, { ...item, name: item.store });
  const only = journal.only.length > 0 ? journal.only : undefined;
  const { into: target, replace, followBy, momentMs: atMs } = item;
  const workFolder = join(workFolderOf(application.stateFolder, journal.id), item.store);
  const { runtime } = application.context;
  return {
    connector,
    options,
    context: { runtime, id: journal.id, target, only, replace, followBy, atMs, workFolder },
  };
}

/** Where the stores of a restore keep on this host what they need until it is discarded. */
export function workFolderOf(stateFolder: string, id: string): string {
  return join(stateFolder, 'restores', id);
}
