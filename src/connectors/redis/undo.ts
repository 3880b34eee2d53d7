import { rm } from 'node:fs/promises';
import type { RestorerContext } from '../../core/connector.ts';
import { TidemarkError } from '../../core/errors.ts';
import { must } from '../../core/must.ts';
import type { Run } from '../../core/run.ts';
import type { RedisPlace } from './place.ts';
import { besideFolder, discardFolders, undoFolders } from './restore/files-swap.ts';
import { undoInServer } from './restore/server-swap.ts';
import { readState, workFilesIn } from './restore/work-files.ts';
import { destinationOf } from './restorer.ts';

/**
 * Puts back what a finished restore replaced; what is there now is kept in turn. A turn that was cut off is finished.
 * @throws NOTHING_TO_RESUME, RESTORE_UNFINISHED; STORE_UNREACHABLE
 */
export async function undoRestore(
  place: RedisPlace,
  context: RestorerContext & { readonly turn: number },
  run: Run,
): Promise<{ readonly keptAside?: string | undefined }> {
  const { runtime, id, turn, only } = context;
  const files = workFilesIn(must(context.workFolder, 'a folder of this restore'));
  const destination = destinationOf(place, context.target);
  if ('folder' in destination) {
    return await undoFolders({ files, runtime, beside: besideFolder(destination.folder, id) }, turn, run);
  }
  const part = only === undefined || only.length === 0 ? undefined : only;
  return await undoInServer({ place: destination.server, files, runtime, only: part, replace: true }, turn, run);
}

/** Deletes what a restore kept or left unfinished. @throws RESTORE_UNFINISHED while a place may hold anything */
export async function discardRestore(place: RedisPlace, context: RestorerContext, run: Run): Promise<void> {
  run.signal.throwIfAborted();
  const files = workFilesIn(must(context.workFolder, 'a folder of this restore'));
  const destination = destinationOf(place, context.target);
  if ('folder' in destination) {
    await discardFolders({ files, beside: besideFolder(destination.folder, context.id) });
  } else if ((await readState(files))?.phase === 'replacing') {
    throw new TidemarkError('RESTORE_UNFINISHED', 'a restore into a server was cut off, which may hold a part of it');
  }
  await rm(files.folder, { recursive: true, force: true });
}
