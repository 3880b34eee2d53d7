import { lstatSync } from 'node:fs';
import type { RestorerContext } from '../../core/connector.ts';
import { TidemarkError } from '../../core/errors.ts';
import type { Run } from '../../core/run.ts';
import { syncFolder } from '../../io/atomic-file.ts';
import { statOpen } from '../../io/native-folder.ts';
import { bytesOf, printablePath, systemPath } from './byte-text.ts';
import { fileError } from './errors.ts';
import { readJournal, removeJournalPartials } from './journal.ts';
import type { Journal } from './journal.ts';
import { findPlace } from './place.ts';
import type { Place } from './place.ts';
import { removeTree } from './remove-tree.ts';
import { withHome } from './staging.ts';
import type { FilesStore } from './store.ts';
import { asidePath, exchangeFolders, inodeAt, noteState } from './swap.ts';
import type { Exchange } from './swap.ts';
import { childrenToExchange, exchangeChildren, settleTime } from './swap-children.ts';

/**
 * Exchanges what a finished restore put there with what it kept aside; the next turn exchanges them again. Goes on with a turn that was cut off.
 * @throws NOTHING_TO_RESUME when no restore of that id has finished there; RESTORE_UNFINISHED when it, or another turn, was cut off in the exchange.
 */
export async function undoRestore(
  store: FilesStore,
  context: RestorerContext & { readonly turn: number },
  run: Run,
): Promise<{ readonly keptAside?: string | undefined }> {
  const { turn } = context;
  const place = findPlace(context.target ?? store.folder, context.id);
  if (!isHomeThere(place)) throw nothingThere(place);
  return await withHome(place, async (home) => {
    const exchange: Exchange = { place, home, runtime: context.runtime };
    let journal = await readJournal(home, place.beside.journal);
    if (journal === undefined) throw nothingThere(place);
    const { state, turn: last = 0 } = journal;
    if (state === 'exchanged' && last === turn) return keptAside(journal, place);
    if (last !== (state === 'exchanged' ? turn - 1 : turn)) throw unfinished(place);
    if (state === 'exchanged') journal = await noteState(exchange, beginUndo(exchange, journal, turn), run);
    if (journal.children === undefined) journal = await exchangeFolders(exchange, journal);
    else await exchangeChildren(exchange, journal, run);
    await noteState(exchange, { ...journal, state: 'exchanged' }, run);
    if (journal.children !== undefined) settleTime(home, journal.children);
    return keptAside(journal, place);
  });
}

function keptAside({ going }: Journal, place: Place): { readonly keptAside?: string | undefined } {
  return going === null ? {} : { keptAside: asidePath(place) };
}

function beginUndo({ place, home }: Exchange, { children, going }: Journal, turn: number): Journal {
  const coming = inodeAt(home, Buffer.from(place.beside.aside));
  // Without it the undo would take away what is there and bring nothing.
  if (coming === null && going !== null) {
    throw new TidemarkError('NOTHING_TO_RESUME', `what was kept aside of ${printablePath(place.target)} is gone`);
  }
  const begun = { version: 1, state: 'exchanging', purpose: 'undo', turn, coming } as const;
  if (children === undefined) return { ...begun, going: inodeAt(home, bytesOf(place.name)) };
  if (coming === null) throw nothingThere(place);
  return { ...begun, going: statOpen(home).inode.toString(), children: childrenToExchange(home, place.beside.aside) };
}

/**
 * Deletes what a restore kept aside, or what it left unfinished; nothing there is fine.
 * @throws RESTORE_UNFINISHED in the middle of an exchange, which has to be finished first; RESTORE_FAILED when the system refuses
 */
export async function discardRestore(store: FilesStore, context: RestorerContext, run: Run): Promise<void> {
  const place = findPlace(context.target ?? store.folder, context.id);
  if (!isHomeThere(place)) return;
  await withHome(place, async (home) => {
    const { fresh, aside, part, journal: journalName } = place.beside;
    const journal = await readJournal(home, journalName);
    if (journal?.state === 'exchanging') throw unfinished(place);
    // The journal goes last: as long as it is there, what it speaks of may be, too.
    try {
      await removeJournalPartials(home, journalName);
      for (const name of [fresh, part, aside, journalName]) await removeTree(home, Buffer.from(name), run);
      await syncFolder(`/proc/self/fd/${home}`);
    } catch (error) {
      run.signal.throwIfAborted();
      throw fileError(
        'RESTORE_FAILED',
        `what a restore left beside ${printablePath(place.target)} can’t be deleted`,
        error,
      );
    }
  });
}

/** Whether the folder is there that holds the names beside. */
export function isHomeThere({ home }: Place): boolean {
  return lstatSync(systemPath(home), { throwIfNoEntry: false }) !== undefined;
}

function nothingThere({ target }: Place): TidemarkError {
  return new TidemarkError('NOTHING_TO_RESUME', `no restore has left anything beside ${printablePath(target)}`);
}

function unfinished({ target }: Place): TidemarkError {
  return new TidemarkError('RESTORE_UNFINISHED', `the exchange of ${printablePath(target)} was cut off`);
}
