import { join } from 'node:path';
import { loadConnector } from '../connectors/load.ts';
import { lockOrBusy } from '../io/lock.ts';
import type { OpenApplication } from './application.ts';
import { isUnfinished, listJournals, refuseUnfinished } from './restore-journal.ts';
import type { JournalStore, RestoreJournal } from './restore-journal.ts';

/** One restore at a time on this host. @throws BUSY */
export function lockRestore(application: OpenApplication): Promise<AsyncDisposable> {
  const { runtime, processId } = application.context;
  const holder = { processId, command: 'restore', sinceMs: runtime.clock.nowMs() };
  return lockOrBusy(join(application.stateFolder, 'restore.lock'), holder, 'restoring on this host');
}

/** @throws BUSY while another restore is at work, RESTORE_UNFINISHED when one was cut off */
export async function refuseOtherRestores(application: OpenApplication): Promise<void> {
  const journals = await listJournals(application.stateFolder);
  if (!journals.some(isUnfinished)) return;
  // What is unfinished while its process lives was not cut off.
  await using _lock = await lockRestore(application);
  refuseUnfinished(await listJournals(application.stateFolder));
}

/** The connector of a store that a journal names, and what its methods take. */
export async function openStore(application: OpenApplication, journal: RestoreJournal, item: JournalStore) {
  const connector = await loadConnector(item.kind);
  const { options } = connector.resolve({ target: item.target, options: item.options, leaveOut: [] });
  const only = journal.only.length > 0 ? journal.only : undefined;
  return {
    connector,
    options,
    context: { runtime: application.context.runtime, id: journal.id, target: item.into, only },
  };
}
