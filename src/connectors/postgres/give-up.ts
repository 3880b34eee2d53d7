import { existsSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { basename } from 'node:path';
import type { GivenUp, RestorerContext } from '../../core/connector.ts';
import { isTidemarkError } from '../../core/errors.ts';
import { removePartials } from '../../io/atomic-file.ts';
import { canGoOn, inodeOf, readJournal } from './swap.ts';
import type { SwapJournal } from './swap.ts';
import { findTarget } from './target-place.ts';
import type { TargetPlace } from './target-place.ts';

/** As `Connector.ifGivenUp`, of a folder of this host. */
export function folderIfGivenUp(path: string, { id }: RestorerContext): GivenUp | undefined {
  const place = findTarget(path, id);
  const journal = readableJournal(place);
  if (journal !== undefined && canGoOn(place, journal)) return undefined;
  return { folder: place.home, canGoOn: false, state: `${targetText(place, journal)}${besideText(place)}` };
}

/** As `Connector.giveUp`: only the journal goes. */
export async function giveFolderUp(path: string, { id }: RestorerContext): Promise<void> {
  const { home, journal } = findTarget(path, id);
  if (!existsSync(home)) return;
  await removePartials(journal);
  await rm(journal, { force: true });
}

/** One that can't be understood tells nothing, like one that is gone. */
function readableJournal(place: TargetPlace): SwapJournal | undefined {
  try {
    return readJournal(place);
  } catch (error) {
    if (isTidemarkError(error, 'RESTORE_FAILED')) return undefined;
    throw error;
  }
}

function targetText({ target }: TargetPlace, journal: SwapJournal | undefined): string {
  const inode = inodeOf(target);
  if (inode === null) return `nothing is at ${target}`;
  const isUntouched = journal?.state === 'verified' || inode === journal?.going;
  const before = (journal?.turn ?? 0) > 0 ? 'undo' : 'restore';
  return isUntouched ? `${target} is as it was before the ${before}` : `${target} stays as it is`;
}

function besideText({ fresh, aside }: TargetPlace): string {
  const left = [fresh, aside].filter((path) => inodeOf(path) !== null).map((path) => basename(path));
  if (left.length === 0) return '';
  return `; beside it ${left.join(' and ')} ${left.length === 1 ? 'stays' : 'stay'}`;
}
