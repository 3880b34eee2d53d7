import { join } from 'node:path';
import { openRecorderOf } from '../archive/source-recorder.ts';
import { loadConnector } from '../connectors/load.ts';
import type { Configuration, StoreConfiguration } from '../config/configuration.ts';
import { resolvedManifestWithoutSecrets } from '../config/resolved-manifest.ts';
import type { Position } from '../core/position.ts';
import type { Recorder } from '../core/recorder.ts';
import type { Run } from '../core/run.ts';
import { ensureFolder } from '../io/atomic-file.ts';
import type { BaseProgress } from '../repository/base-writer.ts';
import { newestBase } from '../repository/catalogue.ts';
import type { StoredEarlierBase } from '../repository/earlier-base.ts';
import { isDamage } from '../repository/format/byte-cursor.ts';
import type { RepositoryWriter, WrittenBase } from '../repository/writer.ts';
import type { OpenApplication } from './application.ts';
import { resolveStore } from './store-place.ts';

/** Opens a store for recording. `previous`: the newest position that the repository holds of it. @throws STORE_UNREACHABLE */
export async function openStoreRecorder(
  application: OpenApplication,
  options: {
    readonly store: StoreConfiguration;
    readonly previous: Position | undefined;
    /** Of connector options, for this run. */
    readonly overrides?: Readonly<Record<string, unknown>> | undefined;
    /** Keeps what following its log takes. */
    readonly stateFolder?: string | undefined;
  },
  run: Run,
): Promise<Recorder> {
  const { context } = application;
  const { store, previous, stateFolder } = options;
  if (stateFolder !== undefined) await ensureFolder(stateFolder, 0o700);
  const opened = await resolveStore(context, { ...store, options: { ...store.options, ...options.overrides } }, [
    context.repositoryUrl,
    application.stateFolder,
  ]);
  for (const warning of opened.warnings) context.warn(`${store.name}: ${warning}`);
  const recorderContext = { runtime: context.runtime, previous, stateFolder };
  return await openRecorderOf(opened.connector, opened.options, recorderContext, run);
}

/** Of this host, for following the log of one store. */
export function storeStateFolder({ stateFolder }: Pick<OpenApplication, 'stateFolder'>, store: string): string {
  return join(stateFolder, 'stores', store);
}

/** Who is told how it goes. */
type Shown = { readonly context: Pick<OpenApplication['context'], 'progress' | 'warn'> };

type BaseWork = {
  readonly store: StoreConfiguration;
  readonly configuration: Configuration;
  readonly recorder: Recorder;
  readonly allowEmpty: boolean;
  readonly writer: RepositoryWriter;
};

/** Takes and commits a base, over the one before where the store can tell what has changed since. @throws BASE_COLLAPSED, STORE_UNREACHABLE, FENCED */
export async function writeStoreBase(application: Shown, work: BaseWork, run: Run): Promise<WrittenBase> {
  const { store, writer } = work;
  try {
    await using earlier = writer.earlierBase(store.name);
    if (earlier !== undefined) return await writeOver(application, work, earlier, run);
  } catch (error) {
    // What of the base before can't be read must not keep the next one from being taken.
    if (!isDamage(error) || !(error instanceof Error)) throw error;
    application.context.warn(`${store.name}: ${error.message}: its base is taken without the one before`);
  }
  return await writeOver(application, work, undefined, run);
}

async function writeOver(
  application: Shown,
  work: BaseWork,
  earlier: StoredEarlierBase | undefined,
  run: Run,
): Promise<WrittenBase> {
  const { store, recorder, writer } = work;
  const { progress } = application.context;
  const last = newestBase(writer.catalogue, store.name)?.summary;
  const { checkEntry } = await loadConnector(store.kind);
  await using base = await recorder.openBase(run, earlier);
  const report = (news: BaseProgress): void => {
    const { entries, bytes } = news;
    const shown = { entries, bytes, ...expectedTotals(news, last) };
    progress.report({ phase: `backing up ${store.name}`, store: store.name, ...shown });
  };
  report({ entries: 0, bytes: 0, foundEntries: 0, foundBytes: 0, foundAll: false });
  return await writer.writeBase(
    {
      store: store.name,
      history: store.name,
      exact: recorder.exact,
      connector: store.kind,
      url: store.url,
      base,
      earlier,
      checkEntry,
      manifest: resolvedManifestWithoutSecrets(work.configuration),
      allowEmpty: store.allowEmpty || work.allowEmpty,
      onProgress: report,
    },
    run,
  );
}

/** Until all has been found the last base tells how much to expect; without one nothing does. */
export function expectedTotals(
  { foundEntries, foundBytes, foundAll }: BaseProgress,
  last: { readonly entries: number; readonly bytes: number } | undefined,
): { readonly totalEntries?: number; readonly totalBytes?: number } {
  if (foundAll) return { totalEntries: foundEntries, totalBytes: foundBytes };
  if (last === undefined) return {};
  return { totalEntries: Math.max(last.entries, foundEntries), totalBytes: Math.max(last.bytes, foundBytes) };
}
