import { resolvedManifestWithoutSecrets } from '../config/resolved-manifest.ts';
import type { Configuration, StoreConfiguration } from '../config/configuration.ts';
import { loadConnector } from '../connectors/load.ts';
import { isTidemarkError, TidemarkError } from '../core/errors.ts';
import { must } from '../core/must.ts';
import type { Recorder } from '../core/recorder.ts';
import type { Run } from '../core/run.ts';
import { dryRunStore } from '../objects/wrappers/dry-run.ts';
import type { RepositoryAccess } from '../repository/access.ts';
import { newestBase } from '../repository/catalogue.ts';
import { newMarkId } from '../repository/mark.ts';
import type { Mark } from '../repository/mark.ts';
import { RepositoryWriter } from '../repository/writer.ts';
import type { WrittenBase } from '../repository/writer.ts';
import { needConfiguration } from './application.ts';
import type { OpenApplication } from './application.ts';
import { orderStores } from './store-order.ts';
import type { BackupResult, BackupStoreResult } from './results.ts';
import { markResult, shownName } from './shown.ts';
import { refuseRollback } from './rollback.ts';
import { failureOf } from './run-record.ts';

export type BackupRequest = {
  /** Names of stores; none means all. */
  readonly stores: readonly string[];
  readonly name?: string | undefined;
  readonly tags: readonly string[];
  readonly dryRun: boolean;
  /** Stores that may be empty or far smaller than last time. */
  readonly allowEmpty: readonly string[];
  /** Overrides of connector options for this run, such as `oneFileSystem`. */
  readonly overrides: Readonly<Record<string, unknown>>;
};

/** A run that a sweep fenced off is tried once more: the second time it knows what was condemned. */
const ATTEMPTS = 2;

/** Takes a base of each store, then a mark over all. Committed and checked when it resolves. */
export async function backup(application: OpenApplication, request: BackupRequest, run: Run): Promise<BackupResult> {
  const configuration = needConfiguration(application.context);
  const stores = chosenStores(configuration, request.stores);
  const access = await application.openAsWriter(run);
  for (let attempt = 1; ; attempt++) {
    try {
      return await backupOnce(application, { configuration, stores, access, request }, run);
    } catch (error) {
      if (attempt >= ATTEMPTS || !isTidemarkError(error, 'FENCED')) throw error;
      application.context.warn(`${error.message}; trying once more`);
    }
  }
}

type BackupWork = {
  readonly configuration: Configuration;
  readonly stores: readonly StoreConfiguration[];
  readonly access: RepositoryAccess;
  readonly request: BackupRequest;
};

async function backupOnce(application: OpenApplication, work: BackupWork, run: Run): Promise<BackupResult> {
  const { context } = application;
  const { request } = work;
  const access = request.dryRun ? { ...work.access, objects: dryRunStore(work.access.objects) } : work.access;
  const remembered = await application.rememberedHeads(run);
  await using writer = await RepositoryWriter.open(
    {
      access,
      info: application.sessionInfo('backup'),
      stateFolder: application.stateFolder,
      dryRun: request.dryRun,
      remembered,
      openEngine: (keys) => context.engines.openEngine({ keys, sizes: application.header.chunks }),
      openRetryEngine: (keys) => context.engines.openRetryEngine({ keys, sizes: application.header.chunks }),
    },
    run,
  );
  refuseRollback(writer.catalogue, remembered);
  for (const finding of writer.catalogue.findings) context.warn(finding.message);
  try {
    const written = await takeBases(application, { ...work, access }, writer, run);
    const mark = composeMark(application, {
      ...work,
      written,
      standingBase: (history) => writer.standingBase(history),
    });
    await writer.putMark(mark, run);
    const stores = written.map(storeResult);
    const isIncomplete = stores.some(({ incompleteCount }) => incompleteCount > 0);
    await writer.putRun(run, {
      outcome: isIncomplete ? 'incomplete' : 'done',
      summary: {
        mark: mark.id,
        stores: stores.map(({ store, bytes, newBytes, storedBytes }) => ({ store, bytes, newBytes, storedBytes })),
      },
    });
    await writer.end(run);
    if (!request.dryRun) await application.rememberHeads(writer.heads, run);
    return { ...(request.dryRun ? {} : { mark: markResult(mark, false) }), stores, dryRun: request.dryRun };
  } catch (error) {
    await endFailed(writer, error);
    throw error;
  }
}

/** Says what became of the session, so that its lease need not run out. The first error is the one that counts. */
async function endFailed(writer: RepositoryWriter, error: unknown): Promise<void> {
  const run: Run = { signal: new AbortController().signal };
  try {
    await writer.putRun(run, { ...failureOf(error), summary: {} });
    await writer.end(run);
  } catch (second) {
    if (!(second instanceof TidemarkError)) throw second;
  }
}

type TakenBase = { readonly store: StoreConfiguration; readonly base: WrittenBase; readonly exact: Recorder['exact'] };

async function takeBases(
  application: OpenApplication,
  work: BackupWork,
  writer: RepositoryWriter,
  run: Run,
): Promise<readonly TakenBase[]> {
  const { context } = application;
  const taken: TakenBase[] = [];
  for (const store of work.stores) {
    const connector = await loadConnector(store.kind);
    const last = newestBase(writer.catalogue, store.name)?.summary;
    const options = { ...store.options, ...work.request.overrides };
    const opened = connector.resolve({ target: store.target, options, leaveOut: [work.configuration.repository.url] });
    for (const warning of opened.warnings) context.warn(`${store.name}: ${warning}`);
    await using recorder = await connector.openRecorder(
      opened.options,
      { runtime: context.runtime, previous: last?.cut },
      run,
    );
    await using base = await recorder.openBase(run);
    const written = await writer.writeBase(
      {
        store: store.name,
        history: store.name,
        exact: recorder.exact,
        connector: store.kind,
        url: store.url,
        base,
        manifest: resolvedManifestWithoutSecrets(work.configuration),
        allowEmpty: store.allowEmpty || work.request.allowEmpty.includes(store.name),
        onProgress: ({ entries, bytes }) =>
          context.progress.report({
            phase: `backing up ${store.name}`,
            store: store.name,
            entries,
            totalEntries: last?.entries,
            bytes,
            totalBytes: last?.bytes,
          }),
      },
      run,
    );
    taken.push({ store, base: written, exact: recorder.exact });
  }
  return taken;
}

function chosenStores(configuration: Configuration, names: readonly string[]): readonly StoreConfiguration[] {
  const unknown = names.find((name) => !configuration.stores.some((store) => store.name === name));
  if (unknown !== undefined) {
    const known = configuration.stores.map(({ name }) => name).join(', ');
    throw new TidemarkError('USAGE', `there is no store ${unknown}`, { hint: `The manifest has: ${known}.` });
  }
  return orderStores(configuration.stores).filter((store) => names.length === 0 || names.includes(store.name));
}

/** A clock mark whose positions are the cuts; a store that was not named enters with its newest base, which widens the skew. */
function composeMark(
  application: OpenApplication,
  work: BackupWork & {
    readonly written: readonly TakenBase[];
    readonly standingBase: RepositoryWriter['standingBase'];
  },
): Mark {
  const { runtime } = application.context;
  const positions: Record<string, Mark['positions'][string]> = {};
  const bases: Record<string, string> = {};
  const missing: string[] = [];
  let fromMs = Infinity;
  let toMs = 0;
  for (const store of work.configuration.stores) {
    const taken = work.written.find((item) => item.store.name === store.name)?.base;
    const older = work.standingBase(store.name);
    if (taken === undefined && older === undefined) {
      missing.push(store.name);
      continue;
    }
    positions[store.name] = taken?.cut ?? must(older, 'an older base').summary.cut;
    bases[store.name] = taken?.key ?? must(older, 'an older base').key;
    fromMs = Math.min(fromMs, taken?.startedAtMs ?? must(older, 'an older base').summary.startedAtMs);
    toMs = Math.max(toMs, taken?.endedAtMs ?? must(older, 'an older base').summary.createdAtMs);
  }
  const { name, tags } = work.request;
  return {
    id: newMarkId(toMs, runtime.random(2)),
    name,
    tags,
    class: 'clock',
    atMs: toMs,
    skewMs: Math.max(0, toMs - fromMs),
    positions,
    bases,
    missing,
  };
}

function storeResult({ store, base, exact }: TakenBase): BackupStoreResult {
  const { stored } = base;
  return {
    store: store.name,
    base: base.key,
    position: base.cut,
    exact,
    entries: stored.entries,
    bytes: stored.bytes,
    newBytes: stored.newBytes,
    storedBytes: stored.storedBytes,
    skipped: stored.end.skipped.map((item) => ({
      ...shownName(item.name),
      reason: item.reason,
      incomplete: item.incomplete,
      message: item.message,
    })),
    skippedCount: stored.end.skippedCount,
    incompleteCount: stored.end.incompleteCount,
  };
}
