import type { GivenUp, RestorerContext } from '../../core/connector.ts';
import { isTidemarkError } from '../../core/errors.ts';
import { printable } from '../../core/printable.ts';
import type { Run } from '../../core/run.ts';
import { syncFolder } from '../../io/atomic-file.ts';
import { removeFileAt } from '../../io/native-folder.ts';
import { bytesOf, lossyText, printablePath } from './byte-text.ts';
import { readJournal, removeJournalPartials } from './journal.ts';
import type { Journal } from './journal.ts';
import { findPlace } from './place.ts';
import type { Place } from './place.ts';
import { withHome } from './staging.ts';
import type { FilesStore } from './store.ts';
import { canGoOn, inodeAt } from './swap.ts';
import { isHomeThere } from './undo.ts';

/** As `Connector.ifGivenUp`. */
export async function ifGivenUp(
  store: FilesStore,
  context: RestorerContext,
  { signal }: Run,
): Promise<GivenUp | undefined> {
  signal.throwIfAborted();
  const place = findPlace(context.target ?? store.folder, context.id);
  const common = { folder: lossyText(place.home), canGoOn: false };
  if (!isHomeThere(place)) return { ...common, state: `the folder ${printablePath(place.home)} is not there` };
  return await withHome(place, async (home) => {
    const journal = await readableJournal(home, place);
    if (journal !== undefined && canGoOn({ place, home }, journal)) return undefined;
    return { ...common, state: `${targetText(home, place, journal)}${besideText(home, place)}` };
  });
}

/** As `Connector.giveUp`: only the journal goes. */
export async function giveUp(store: FilesStore, context: RestorerContext, { signal }: Run): Promise<void> {
  signal.throwIfAborted();
  const place = findPlace(context.target ?? store.folder, context.id);
  if (!isHomeThere(place)) return;
  await withHome(place, async (home) => {
    const { journal } = place.beside;
    await removeJournalPartials(home, journal);
    if (inodeAt(home, Buffer.from(journal)) !== null) removeFileAt(home, Buffer.from(journal));
    await syncFolder(`/proc/self/fd/${home}`);
  });
}

/** One that can't be understood tells nothing, like one that is gone. */
async function readableJournal(home: number, { beside }: Place): Promise<Journal | undefined> {
  try {
    return await readJournal(home, beside.journal);
  } catch (error) {
    if (isTidemarkError(error, 'RESTORE_FAILED')) return undefined;
    throw error;
  }
}

function targetText(home: number, place: Place, journal: Journal | undefined): string {
  const target = printablePath(place.target);
  if (journal?.children !== undefined) return `${target} may hold a part of what was to come in`;
  if (place.mounted) return `${target} stays as it is`;
  const inode = inodeAt(home, bytesOf(place.name));
  if (inode === null) return `nothing is at ${target}`;
  const isUntouched = journal?.state === 'verified' || inode === journal?.going;
  return isUntouched
    ? `${target} is as it was before the ${journal?.purpose ?? 'restore'}`
    : `${target} stays as it is`;
}

function besideText(home: number, { beside }: Place): string {
  const left = [beside.fresh, beside.aside].filter((name) => inodeAt(home, Buffer.from(name)) !== null);
  if (left.length === 0) return '';
  return `; beside it ${left.map(printable).join(' and ')} ${left.length === 1 ? 'stays' : 'stay'}`;
}
