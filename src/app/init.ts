import type { Run } from '../core/run.ts';
import type { Secret } from '../io/secret.ts';
import { createObjectStore, openObjectStore } from '../objects/registry.ts';
import { createRepository, openWithPassphrase, peekHeader, withDerivedCredential } from '../repository/access.ts';
import type { RepositoryAccess } from '../repository/access.ts';
import { loadCatalogue } from '../repository/catalogue.ts';
import { putRun } from '../repository/runs.ts';
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
  if (!isThere) await writeFirstHead(access, context, run);
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

/** A first session, so that even an empty repository has a head that can't be taken back unnoticed. */
async function writeFirstHead(access: RepositoryAccess, context: AppContext, run: Run): Promise<void> {
  const { clock } = context.runtime;
  const startedAtMs = clock.nowMs();
  const application = context.configuration?.application ?? 'application';
  const maintained = await withDerivedCredential(
    access,
    { role: 'maintainer', name: `${application}@${context.host}`, stores: [] },
    run,
  );
  const catalogue = await loadCatalogue(maintained, [], run);
  const info = { application, host: context.host, command: 'init', tool: context.tool };
  const durationMs = clock.nowMs() - startedAtMs;
  const body = { command: 'init', startedAtMs, durationMs, outcome: 'done', summary: {} };
  await putRun({ access: maintained, info, catalogue, body }, run);
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
