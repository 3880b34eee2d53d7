import { rm } from 'node:fs/promises';
import type { RestorerContext } from '../../core/connector.ts';
import { TidemarkError } from '../../core/errors.ts';
import type { Run } from '../../core/run.ts';
import { removePartials } from '../../io/atomic-file.ts';
import { assertNoServer, endLeftover } from './running-server.ts';
import { exchangeFolders, readJournal, writeJournal } from './swap.ts';
import { removeTablespaces } from './tablespaces.ts';
import { findTarget } from './target-place.ts';

/** As `Connector.undo`. @throws RESTORE_CONFLICT while a server runs on the folder */
export async function undoDataDirectory(
  target: string,
  { id, turn, runtime }: RestorerContext & { readonly turn: number },
  run: Run,
): Promise<{ readonly keptAside?: string | undefined }> {
  const place = findTarget(target, id);
  let journal = readJournal(place);
  if (
    journal === undefined ||
    journal.state === 'verified' ||
    (journal.state === 'exchanging' && journal.turn < turn)
  ) {
    throw new TidemarkError('NOTHING_TO_RESUME', `no restore has left anything beside ${place.target}`);
  }
  if (journal.turn < turn) {
    assertNoServer(place.target);
    const next = { ...journal, state: 'exchanging', turn, coming: journal.going, going: journal.coming } as const;
    journal = await writeJournal(place, next, runtime.random, run);
  }
  if (journal.state === 'exchanging') {
    journal = await exchangeFolders(place, journal);
    journal = await writeJournal(place, { ...journal, state: 'exchanged' }, runtime.random, run);
  }
  return journal.going === null ? {} : { keptAside: place.aside };
}

/** As `Connector.discard`. */
export async function discardDataDirectory(target: string, { id, runtime }: RestorerContext, run: Run): Promise<void> {
  const place = findTarget(target, id);
  await endLeftover(place.fresh, runtime.clock, run);
  for (const path of [place.fresh, place.part, place.aside]) {
    removeTablespaces(path);
    await rm(path, { recursive: true, force: true });
  }
  await removePartials(place.journal).catch(() => undefined);
  await rm(place.journal, { force: true });
}
