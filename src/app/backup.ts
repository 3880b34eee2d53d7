import type { Configuration, StoreConfiguration } from '../config/configuration.ts';
import type { ErrorCode } from '../core/error-codes.ts';
import { isTidemarkError, TidemarkError } from '../core/errors.ts';
import { must } from '../core/must.ts';
import type { Recorder } from '../core/recorder.ts';
import type { Run } from '../core/run.ts';
import type { RepositoryAccess } from '../repository/access.ts';
import { loadCatalogue, newestPosition } from '../repository/catalogue.ts';
import type { Mark } from '../repository/mark.ts';
import type { RepositoryWriter, WrittenBase } from '../repository/writer.ts';
import { needConfiguration } from './application.ts';
import type { OpenApplication } from './application.ts';
import { chosenStores } from './chosen-stores.ts';
import { composeMark } from './compose-mark.ts';
import { refuseLabels, refuseUsedName } from './mark-labels.ts';
import type { BackupResult, BackupStoreResult } from './results.ts';
import { baseResult, markResult } from './shown.ts';
import { refuseRollback } from './rollback.ts';
import { refuseTakenNames } from './taken-names.ts';
import { openWriter } from './open-writer.ts';
import { endFailed } from './run-record.ts';
import { openStoreRecorder, writeStoreBase } from './store-base.ts';

export type BackupRequest = {
  /** Names of stores; none means all. */
  readonly stores: readonly string[];
  readonly name?: string | undefined;
  readonly tags: readonly string[];
  readonly dryRun: boolean;
  /** Stores that may be empty or far smaller than last time. */
  readonly allowEmpty: readonly string[];
  /** Stores that another application backed up so far, which is what this one was called. */
  readonly takeOver: readonly string[];
  /** Overrides of connector options for this run, such as `oneFileSystem`. */
  readonly overrides: Readonly<Record<string, unknown>>;
};

/** A run that a sweep fenced off is tried once more: the second time it knows what was condemned. */
const ATTEMPTS = 2;

const STORE_FAILURES: ReadonlySet<ErrorCode> = new Set(['STORE_UNREACHABLE', 'BASE_COLLAPSED']);

/** Whether it is what one store fails with while the others can still be backed up. */
export function isStoreFailure(error: unknown): error is TidemarkError {
  return isTidemarkError(error) && STORE_FAILURES.has(error.code);
}

/**
 * Takes a base of each store, then a mark over all. Committed and checked when it resolves. A store that fails by itself makes the mark partial;
 * when all fail, the first one's error is thrown, which then tells of all.
 */
export async function backup(application: OpenApplication, request: BackupRequest, run: Run): Promise<BackupResult> {
  const configuration = needConfiguration(application.context);
  const stores = chosenStores(configuration, request.stores);
  for (const named of [request.allowEmpty, request.takeOver]) chosenStores(configuration, named);
  refuseLabels(request);
  const access = await application.openAsWriter(run, { dryRun: request.dryRun });
  // Before anything is started; a backup without a name need not look.
  if (request.name !== undefined) refuseUsedName(await loadCatalogue(access, [], run), request);
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
  const { request, access } = work;
  const remembered = await application.rememberedHeads(run);
  const { dryRun } = request;
  await using writer = await openWriter(application, access, { command: 'backup', dryRun, inPlace: false }, run);
  try {
    refuseRollback(writer.catalogue, remembered);
    refuseTakenNames({
      access,
      catalogue: writer.catalogue,
      application: application.name,
      stores: work.configuration.stores.map(({ name }) => name),
      takeOver: request.takeOver,
    });
    for (const finding of writer.catalogue.findings) context.warn(finding.message);
    const { taken, failed } = await takeBases(application, work, writer, run);
    const mark = composeMark({
      ...request,
      configuration: work.configuration,
      random: context.runtime.random,
      taken: new Map(taken.map(({ store, base }) => [store.name, base])),
      failed: failed.map(({ store }) => store),
      standingBase: (history) => writer.standingBase(history),
    });
    await writer.putMark(mark, run);
    const stores = taken.map((one) => baseResult({ ...one, store: one.store.name }, request));
    await writer.putRun(run, runOf(mark, stores, failed));
    await writer.end(run);
    if (!request.dryRun) await application.rememberHeads(writer.heads, run);
    return { ...(request.dryRun ? {} : { mark: markResult(mark, false) }), stores, failed, dryRun: request.dryRun };
  } catch (error) {
    await endFailed(writer, error);
    throw error;
  }
}

function runOf(
  mark: Mark,
  stores: readonly BackupStoreResult[],
  failed: BackupResult['failed'],
): Parameters<RepositoryWriter['putRun']>[1] {
  const isIncomplete = mark.missing.length > 0 || stores.some(({ incompleteCount }) => incompleteCount > 0);
  const code = failed[0]?.code;
  return {
    outcome: isIncomplete ? 'incomplete' : 'done',
    ...(code === undefined ? {} : { code }),
    summary: {
      mark: mark.id,
      stores: stores.map(({ store, bytes, newBytes, storedBytes }) => ({ store, bytes, newBytes, storedBytes })),
      failed: failed.map(({ store }) => store),
    },
  };
}

type TakenBase = { readonly store: StoreConfiguration; readonly base: WrittenBase; readonly exact: Recorder['exact'] };
type Taken = { readonly taken: readonly TakenBase[]; readonly failed: BackupResult['failed'] };

async function takeBases(
  application: OpenApplication,
  work: BackupWork,
  writer: RepositoryWriter,
  run: Run,
): Promise<Taken> {
  const taken: TakenBase[] = [];
  const failures: StoreFailure[] = [];
  for (const store of work.stores) {
    try {
      taken.push(await takeBase(application, { ...work, store }, writer, run));
    } catch (error) {
      if (!isStoreFailure(error)) throw error;
      failures.push({ store: store.name, error });
    }
  }
  if (failures.length > 0 && taken.length === 0) throw allFailed(failures);
  const failed = failures.map(({ store, error: { code, message, hint } }) => ({ store, code, message, hint }));
  return { taken, failed };
}

type StoreFailure = { readonly store: string; readonly error: TidemarkError };

function allFailed(failures: readonly StoreFailure[]): TidemarkError {
  const { error } = must(failures[0], 'a store that failed');
  if (failures.length === 1) return error;
  const told = failures.map((failure) => `${failure.store}: ${failure.error.message}`).join('; ');
  return new TidemarkError(error.code, told, { cause: error, disposition: error.disposition, hint: error.hint });
}

async function takeBase(
  application: OpenApplication,
  work: BackupWork & { readonly store: StoreConfiguration },
  writer: RepositoryWriter,
  run: Run,
): Promise<TakenBase> {
  const { store, request, configuration } = work;
  const previous = newestPosition(writer.catalogue, store.name);
  await using recorder = await openStoreRecorder(application, { store, previous, overrides: request.overrides }, run);
  const allowEmpty = request.allowEmpty.includes(store.name);
  const base = await writeStoreBase(application, { store, configuration, recorder, allowEmpty, writer }, run);
  return { store, base, exact: recorder.exact };
}
