import type { Run } from '../core/run.ts';
import type { Secret } from '../io/secret.ts';
import { createObjectStore, openObjectStore } from '../objects/registry.ts';
import { createRepository, openWithPassphrase, peekHeader } from '../repository/access.ts';
import { loadCatalogue } from '../repository/catalogue.ts';
import { FORMAT_VERSION } from '../repository/format/header.ts';
import { isTidemarkError } from '../core/errors.ts';
import { openStateFolder } from '../io/state-folder.ts';
import { rememberHeads } from './head-memory.ts';
import type { AppContext } from './application.ts';
import type { InitResult } from './results.ts';

/** What an earlier try to create a repository may have left. */
const STARTED: ReadonlySet<string> = new Set(['tidemark.json', 'keys', 'credentials', '.tmp']);

export type InitRequest = {
  readonly firstPassphrase: () => Promise<Secret>;
  readonly leaseMs?: number | undefined;
};

/**
 * Creates the repository, or says that it is there already when the passphrase opens it.
 * @throws FOLDER_NOT_EMPTY, KEY_REFUSED, SECRET_MISSING
 */
export async function initRepository(context: AppContext, request: InitRequest, run: Run): Promise<InitResult> {
  const { runtime } = context;
  const isThere = await repositoryIsThere(context, run);
  // Before anything is created: without a passphrase nothing is started.
  const secret = isThere ? await context.passphrase() : await request.firstPassphrase();
  await using objects = await createObjectStore(
    context.repositoryUrl,
    { runtime, baseFolder: context.workingFolder, belongs: (name) => isThere || STARTED.has(name) },
    run,
  );
  const access = isThere
    ? await openWithPassphrase(objects, secret.reveal(), runtime, run)
    : await createRepository(
        objects,
        { passphrase: secret.reveal(), slotName: context.host, leaseMs: request.leaseMs },
        runtime,
        run,
      );
  const catalogue = await loadCatalogue(access, [], run);
  const folder = await openStateFolder(access.header.id, context.stateOwner);
  if (!isThere) await rememberHeads({ folder, heads: catalogue.heads.frontier, random: runtime.random }, run);
  return {
    repository: {
      id: access.header.id,
      url: objects.url,
      formatVersion: FORMAT_VERSION,
      headFingerprint: catalogue.fingerprint,
    },
    created: !isThere,
  };
}

async function repositoryIsThere(context: AppContext, run: Run): Promise<boolean> {
  try {
    await using objects = await openObjectStore(
      context.repositoryUrl,
      { runtime: context.runtime, baseFolder: context.workingFolder },
      run,
    );
    await peekHeader(objects, run);
    return true;
  } catch (error) {
    if (isTidemarkError(error, 'REPOSITORY_NOT_FOUND')) return false;
    throw error;
  }
}
