import { existsSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { givenUpServer } from '../../core/connector.ts';
import type { GivenUp, RestorerContext } from '../../core/connector.ts';
import { TidemarkError } from '../../core/errors.ts';
import { must } from '../../core/must.ts';
import type { Run } from '../../core/run.ts';
import { shownAddress } from './place.ts';
import type { RedisPlace } from './place.ts';
import { besideFolder, discardFolders, folderIfGivenUp, undoFolders } from './restore/files-swap.ts';
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

/** As `Connector.ifGivenUp`. */
export async function ifGivenUp(
  place: RedisPlace,
  context: RestorerContext,
  { signal }: Run,
): Promise<GivenUp | undefined> {
  signal.throwIfAborted();
  const destination = destinationOf(place, context.target);
  if ('server' in destination) return givenUpServer(context);
  const files = workFilesIn(must(context.workFolder, 'a folder of this restore'));
  return await folderIfGivenUp({ files, beside: besideFolder(destination.folder, context.id) });
}

/**
 * Deletes what a restore kept or left unfinished, without reaching the server, which may hold a part of it when it was cut off.
 * @throws RESTORE_UNFINISHED when what a server held before is nowhere else
 */
export async function discardRestore(place: RedisPlace, context: RestorerContext, run: Run): Promise<void> {
  run.signal.throwIfAborted();
  const { runtime } = context;
  const files = workFilesIn(must(context.workFolder, 'a folder of this restore'));
  const destination = destinationOf(place, context.target);
  if ('folder' in destination) {
    await discardFolders({ files, beside: besideFolder(destination.folder, context.id) });
  } else {
    const { phase, kept = {}, keptParts = {}, turn = 0 } = (await readState(files)) ?? {};
    const shown = `the Redis server ${shownAddress(destination.server)}`;
    const needed = [turn, turn - 1]
      .filter((at) => kept[at] === true)
      .flatMap((at) => Array.from({ length: keptParts[at] ?? 1 }, (_, part) => files.kept(at, part)));
    const only = needed.find((path) => existsSync(path));
    if (phase === 'replacing' && only !== undefined) {
      const meant = `a restore into ${shown} was cut off, and what that held is only in ${only}`;
      throw new TidemarkError('RESTORE_UNFINISHED', meant, {
        hint: 'Finish it with `tidemark restore --resume`, then --undo puts it back. Or move that file, an RDB, elsewhere: then it can be discarded.',
      });
    }
    if (phase === 'replacing') runtime.logger.log('warn', `${shown} may hold a part of the restore that is discarded`);
  }
  await rm(files.folder, { recursive: true, force: true });
}
