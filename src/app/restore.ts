import { join } from 'node:path';
import { loadConnector } from '../connectors/load.ts';
import { toHex } from '../core/bytes.ts';
import { TidemarkError } from '../core/errors.ts';
import { must } from '../core/must.ts';
import type { Restorer, RestoreReport } from '../core/restorer.ts';
import type { Run } from '../core/run.ts';
import { lockOrBusy } from '../io/lock.ts';
import type { Json } from '../repository/format/json.ts';
import type { BaseRecord } from '../repository/catalogue.ts';
import type { RepositoryReader } from '../repository/reader.ts';
import type { OpenApplication } from './application.ts';
import { listJournals, removeJournal, saveJournal } from './restore-journal.ts';
import type { JournalStore, RestoreJournal, RestorePhase } from './restore-journal.ts';
import { planRestore } from './restore-plan.ts';
import type { RestorePlan, RestoreRequest } from './restore-plan.ts';
import type { RestoreResult, RestoreStoreResult, RestoreUndoResult } from './results.ts';
import { markResult, shownName } from './shown.ts';
import { withProgress } from './read-progress.ts';

const ID_BYTES = 4;

/** Plans a restore and begins nothing. @throws RESTORE_UNFINISHED when an earlier one of this host was cut off */
export async function prepareRestore(
  application: OpenApplication,
  reader: RepositoryReader,
  request: RestoreRequest,
  run: Run,
): Promise<RestorePlan> {
  const unfinished = (await listJournals(application.stateFolder)).find(isUnfinished);
  if (unfinished !== undefined) {
    throw new TidemarkError('RESTORE_UNFINISHED', `the restore of mark ${unfinished.mark} was cut off`);
  }
  const id = toHex(application.context.runtime.random(ID_BYTES));
  return planRestore(application, reader, { id, request }, run);
}

/** Carries out a plan: all stores beside, all verified, then all exchanged. @throws RESTORE_CONFLICT when the plan has blockers */
export async function carryOut(
  application: OpenApplication,
  reader: RepositoryReader,
  plan: RestorePlan,
  run: Run,
): Promise<RestoreResult> {
  const [blocker] = plan.result.blockers;
  if (blocker !== undefined) {
    throw new TidemarkError('RESTORE_CONFLICT', `this restore can’t be carried out: ${blocker}`);
  }
  await using _lock = await lockRestore(application);
  const journal: RestoreJournal = {
    id: plan.id,
    atMs: application.context.runtime.clock.nowMs(),
    mark: plan.mark.mark.id,
    only: plan.request.only,
    phase: 'writing',
    stores: plan.stores.map(({ store, kind, place, into, record }) => ({
      store,
      kind,
      target: place.target,
      // Options come from a manifest, so they are JSON.
      options: place.options as Readonly<Record<string, Json>>,
      into,
      base: record.key,
    })),
  };
  return await finish(application, reader, journal, run);
}

/** Finishes a restore that was cut off. @throws NOTHING_TO_RESUME */
export async function resumeRestore(
  application: OpenApplication,
  reader: RepositoryReader,
  run: Run,
): Promise<RestoreResult> {
  await using _lock = await lockRestore(application);
  const journal = (await listJournals(application.stateFolder)).findLast(isUnfinished);
  if (journal === undefined) throw new TidemarkError('NOTHING_TO_RESUME', 'no restore of this host was cut off');
  return await finish(application, reader, journal, run);
}

/** Puts back what the last restore kept aside. @throws NOTHING_TO_RESUME */
export async function undoRestore(
  application: OpenApplication,
  stores: readonly string[],
  run: Run,
): Promise<RestoreUndoResult> {
  await using _lock = await lockRestore(application);
  const journal = (await listJournals(application.stateFolder)).findLast(
    ({ phase }) => phase === 'done' || phase === 'undone',
  );
  if (journal === undefined) throw new TidemarkError('NOTHING_TO_RESUME', 'no restore of this host can be undone');
  const chosen = chosenStores(journal, stores);
  const results: RestoreUndoResult['stores'][number][] = [];
  for (const item of chosen) {
    const { connector, options, context } = await openStore(application, journal, item);
    const { keptAside } = await connector.undo(options, context, run);
    results.push({ store: item.store, into: item.into ?? item.target, keptAside });
  }
  await save(application, { ...journal, phase: 'undone' }, run);
  return { stores: results };
}

/** Deletes what restores kept aside or left unfinished. @throws NOTHING_TO_RESUME */
export async function discardRestores(application: OpenApplication, run: Run): Promise<RestoreUndoResult> {
  await using _lock = await lockRestore(application);
  const journals = await listJournals(application.stateFolder);
  if (journals.length === 0) throw new TidemarkError('NOTHING_TO_RESUME', 'no restore of this host left anything');
  if (journals.some(({ phase }) => phase === 'swapping')) {
    throw new TidemarkError('RESTORE_UNFINISHED', 'a restore was cut off while it exchanged stores', {
      hint: 'Finish it with `tidemark restore --resume` first.',
    });
  }
  const results: RestoreUndoResult['stores'][number][] = [];
  for (const journal of journals) {
    for (const item of journal.stores) {
      const { connector, options, context } = await openStore(application, journal, item);
      await connector.discard(options, context, run);
      results.push({ store: item.store, into: item.into ?? item.target });
    }
    await removeJournal(application.stateFolder, journal.id);
  }
  return { stores: results };
}

function isUnfinished({ phase }: RestoreJournal): boolean {
  return phase === 'writing' || phase === 'swapping';
}

function chosenStores(journal: RestoreJournal, names: readonly string[]): readonly JournalStore[] {
  const unknown = names.find((name) => !journal.stores.some(({ store }) => store === name));
  if (unknown !== undefined) throw new TidemarkError('USAGE', `the last restore had no store ${unknown}`);
  return journal.stores.filter(({ store }) => names.length === 0 || names.includes(store));
}

function lockRestore(application: OpenApplication): Promise<AsyncDisposable> {
  const { runtime, processId } = application.context;
  const holder = { processId, command: 'restore', sinceMs: runtime.clock.nowMs() };
  return lockOrBusy(join(application.stateFolder, 'restore.lock'), holder, 'restoring on this host');
}

async function openStore(application: OpenApplication, journal: RestoreJournal, item: JournalStore) {
  const connector = await loadConnector(item.kind);
  const { options } = connector.resolve({ target: item.target, options: item.options, leaveOut: [] });
  const only = journal.only.length > 0 ? journal.only : undefined;
  return {
    connector,
    options,
    context: { runtime: application.context.runtime, id: journal.id, target: item.into, only },
  };
}

async function save(application: OpenApplication, journal: RestoreJournal, run: Run): Promise<RestoreJournal> {
  await saveJournal({ stateFolder: application.stateFolder, journal, random: application.context.runtime.random }, run);
  return journal;
}

type OpenedStore = { readonly item: JournalStore; readonly record: BaseRecord; readonly restorer: Restorer };

/**
 * The order of durable steps: the journal says `writing`; every store is written beside and verified; the journal says `swapping`; every store is
 * exchanged; the journal says `done`. Up to `swapping` nothing live has been touched, from there on `--resume` finishes.
 */
async function finish(
  application: OpenApplication,
  reader: RepositoryReader,
  start: RestoreJournal,
  run: Run,
): Promise<RestoreResult> {
  await using stack = new AsyncDisposableStack();
  const opened: OpenedStore[] = [];
  for (const item of start.stores) {
    const record = reader.catalogue.bases.get(item.base);
    if (record === undefined) {
      throw new TidemarkError('REPOSITORY_DAMAGED', `the base of ${item.store} that was being restored is gone`);
    }
    const { connector, options, context } = await openStore(application, start, item);
    opened.push({ item, record, restorer: stack.use(await connector.openRestorer(options, context, run)) });
  }
  const reports = new Map<string, RestoreStoreResult>();
  let journal = start;
  if (journal.phase === 'writing') {
    await save(application, journal, run);
    for (const store of opened) reports.set(store.item.store, await writeBeside(application, reader, store, run));
    journal = await save(application, withPhase(journal, 'swapping'), run);
  }
  const swapped: JournalStore[] = [];
  for (const { item, record, restorer } of opened) {
    const { keptAside } = await restorer.swap(run);
    swapped.push({ ...item, keptAside });
    const report = reports.get(item.store) ?? storeResult(reader, { item, record }, undefined);
    reports.set(item.store, { ...report, keptAside });
  }
  await save(application, { ...withPhase(journal, 'done'), stores: swapped }, run);
  const mark = must(
    reader.catalogue.marks.find((candidate) => candidate.mark.id === start.mark),
    'the mark of a restore that just worked',
  );
  return { mark: markResult(mark.mark, mark.pinned), stores: [...reports.values()] };
}

function withPhase(journal: RestoreJournal, phase: RestorePhase): RestoreJournal {
  return { ...journal, phase };
}

async function writeBeside(
  application: OpenApplication,
  reader: RepositoryReader,
  store: OpenedStore,
  run: Run,
): Promise<RestoreStoreResult> {
  const { item, record, restorer } = store;
  const base = withProgress(await reader.base(record, run), {
    phase: `restoring ${item.store}`,
    store: item.store,
    progress: application.context.progress,
  });
  const report = await restorer.restoreBase(base, run);
  await restorer.verify(run);
  return storeResult(reader, store, report);
}

function storeResult(
  reader: RepositoryReader,
  store: Pick<OpenedStore, 'item' | 'record'>,
  report: RestoreReport | undefined,
): RestoreStoreResult {
  const { item, record } = store;
  const { skipped } = reader.content(record);
  return {
    store: item.store,
    into: item.into ?? item.target,
    position: record.summary.cut,
    exact: record.summary.exact,
    bytes: report?.bytes ?? record.summary.bytes,
    reusedBytes: report?.reusedBytes ?? 0,
    entries: report?.entries ?? record.summary.entries,
    verified: true,
    notes: report?.notes ?? [],
    noteCount: report?.noteCount ?? 0,
    skipped: skipped.map(({ name, reason, incomplete, message }) => ({
      ...shownName(name),
      reason,
      incomplete,
      message,
    })),
    skippedCount: record.maintenance?.skippedCount ?? skipped.length,
  };
}
