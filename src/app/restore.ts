import { toHex } from '../core/bytes.ts';
import { isTidemarkError, TidemarkError } from '../core/errors.ts';
import { must } from '../core/must.ts';
import type { Restorer, RestoreReport } from '../core/restorer.ts';
import type { Run } from '../core/run.ts';
import type { Json } from '../repository/format/json.ts';
import type { MarkRecord } from '../repository/catalogue.ts';
import type { RepositoryReader } from '../repository/reader.ts';
import { logOf, openBare, openPoint } from '../restore/point.ts';
import type { Point } from '../restore/point.ts';
import type { OpenApplication } from './application.ts';
import { pointAt } from './look.ts';
import { damageOf } from './plan-damage.ts';
import { nearestResult } from './plan-result.ts';
import { withProgress } from './read-progress.ts';
import {
  isBeingUndone,
  isUnfinished,
  listJournals,
  placeText,
  removeJournal,
  saveJournal,
  wayOnText,
} from './restore-journal.ts';
import type { JournalStore, LostStore, RestoreJournal, RestorePhase } from './restore-journal.ts';
import { givableStores, lockRestore, openStore, refuseOtherRestores, refuseUnfinished } from './restore-place.ts';
import { planRestore, refuseUnknown } from './restore-plan.ts';
import type { RestorePlan, RestoreRequest } from './restore-plan.ts';
import type { PlanResult, RestoreResult, RestoreStoreResult } from './results.ts';
import { recorded } from './run-record.ts';
import { restoreWhole } from './salvage.ts';
import type { EntryDecoder } from './salvage.ts';
import { isoTime, markResult, shownName } from './shown.ts';

const ID_BYTES = 4;
const MOST_DAMAGED = 1_000;

/** What a restore would do, and what is in its way. Writes nothing. */
export async function previewRestore(
  application: OpenApplication,
  reader: RepositoryReader,
  request: RestoreRequest,
  run: Run,
): Promise<PlanResult> {
  const plan = await planRestore(application, reader, { id: undefined, request }, run);
  const damage = await damageOf(reader, plan.stores, run);
  // Parts of a base may be whole.
  const isNeeded = request.only.length === 0;
  const result: PlanResult = {
    ...plan.result,
    sideEffects: [...plan.result.sideEffects, ...(isNeeded ? [] : damage)],
    blockers: [...(isNeeded ? damage : []), ...plan.result.blockers],
  };
  try {
    await refuseOtherRestores(application, run);
    return result;
  } catch (error) {
    if (!isTidemarkError(error, 'RESTORE_UNFINISHED') && !isTidemarkError(error, 'BUSY')) throw error;
    return { ...result, blockers: [`${error.message}. ${error.hint}`, ...result.blockers] };
  }
}

/** Plans a restore and begins nothing. @throws as `refuseOtherRestores` */
export async function prepareRestore(
  application: OpenApplication,
  reader: RepositoryReader,
  request: RestoreRequest,
  run: Run,
): Promise<RestorePlan> {
  await refuseOtherRestores(application, run);
  const id = toHex(application.context.runtime.random(ID_BYTES));
  return { ...(await planRestore(application, reader, { id, request }, run)), id };
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
  await refuseUnfinished(application, await listJournals(application.stateFolder), run);
  const journal: RestoreJournal = {
    id: plan.id,
    atMs: application.context.runtime.clock.nowMs(),
    ...(plan.mark === undefined ? { askedMs: plan.askedMs } : { mark: plan.mark.mark.id }),
    only: plan.request.only,
    skipDamaged: plan.request.skipDamaged,
    phase: 'writing',
    stores: plan.stores.map(
      ({ store, kind, place, into, preview, replace, followBy, canSkipDamaged, point, atMs, nearest }) => ({
        store,
        kind,
        scheme: place.scheme,
        target: place.target,
        via: place.via,
        // Options come from a manifest, so they are JSON.
        options: place.options as Readonly<Record<string, Json>>,
        into,
        shownAs: preview.into,
        replace,
        followBy,
        canSkipDamaged,
        base: point.base.key,
        position: point.position,
        floor: point.floor,
        credential: nearest?.credential ?? plan.mark?.credential,
        momentMs: nearest?.isCovered === true ? plan.askedMs : atMs,
        nearest: nearest && { atMs: nearest.atMs, isCovered: nearest.isCovered },
        turn: 0,
        undoing: false,
        damagedCount: 0,
      }),
    ),
  };
  return await finish(application, reader, { journal, isBegun: false }, run);
}

/**
 * Finishes a restore that was cut off. What was allowed when it began still is; `replace` names stores of which it is allowed from now on as well.
 * @throws NOTHING_TO_RESUME; USAGE for a store that it is not about
 */
export async function resumeRestore(
  application: OpenApplication,
  reader: RepositoryReader,
  replace: readonly string[],
  run: Run,
): Promise<RestoreResult> {
  await using _lock = await lockRestore(application);
  const journal = (await listJournals(application.stateFolder)).findLast(isUnfinished);
  if (journal === undefined) throw new TidemarkError('NOTHING_TO_RESUME', 'no restore of this host was cut off');
  if (isBeingUndone(journal)) await refuseUnfinished(application, [journal], run);
  refuseUnknown(
    replace,
    journal.stores.map(({ store }) => store),
  );
  const stores = journal.stores.map((item) => ({ ...item, replace: item.replace || replace.includes(item.store) }));
  const allowed = replace.length === 0 ? journal : await save(application, { ...journal, stores }, run);
  return await finish(application, reader, { journal: allowed, isBegun: true }, run);
}

/** Does the rest of a restore, and leaves a run. What to do after a failure is told. `isBegun`: the journal is durable. */
async function finish(
  application: OpenApplication,
  reader: RepositoryReader,
  { journal, isBegun }: { readonly journal: RestoreJournal; readonly isBegun: boolean },
  run: Run,
): Promise<RestoreResult> {
  const access = (inner: Run) => application.maintainerOrWarning(reader.access, inner);
  let reached = isBegun ? journal.phase : undefined;
  const onPhase = (phase: RestorePhase): void => {
    reached = phase;
  };
  return await recorded(
    application,
    { command: 'restore', access, catalogue: () => reader.catalogue },
    async () => {
      try {
        return await restoreAll(application, reader, { start: journal, onPhase }, run);
      } catch (error) {
        if (!isTidemarkError(error, 'ENTRY_NOT_FOUND')) {
          if (reached === undefined) throw error;
          const begun = { ...journal, phase: reached };
          throw withWayOn(error, begun, await givableStores(application, begun, run));
        }
        // Found out before anything was written, so there is nothing to resume or to discard.
        await removeJournal(application.stateFolder, journal.id);
        throw error;
      }
    },
    ({ mark, at, stores }) => ({
      outcome: stores.some(({ damagedCount }) => damagedCount > 0) ? 'damaged' : 'done',
      summary: {
        ...(mark === undefined ? { at } : { mark: mark.id }),
        stores: stores.map(({ store, bytes, reusedBytes, entries }) => ({ store, bytes, reusedBytes, entries })),
      },
    }),
  );
}

/** The error with what can be done about the restore that it leaves behind. */
function withWayOn(error: unknown, journal: RestoreJournal, givable: readonly LostStore[]): unknown {
  if (!isTidemarkError(error)) return error;
  const { phase, skipDamaged, stores } = journal;
  const { message, disposition, where } = error;
  // That files could not be restored is said as well; that the repository is damaged is what counts.
  const code = isTidemarkError(error.cause, 'REPOSITORY_DAMAGED') ? error.cause.code : error.code;
  const details = { disposition, where, cause: error };
  const canSkip = stores.some(({ canSkipDamaged }) => canSkipDamaged);
  if (phase === 'swapping') {
    if (givable.some(({ canGoOn }) => !canGoOn)) {
      return new TidemarkError(code, message, { ...details, hint: wayOnText(journal, givable) });
    }
    const wayOn = 'Stores were being exchanged: finish that now with `tidemark restore --resume`.';
    // Something is in the way, which only its own hint tells how to get past.
    const hint = code === 'RESTORE_CONFLICT' && error.hint !== undefined ? `${wayOn} ${error.hint}` : wayOn;
    return new TidemarkError(code, message, { ...details, hint });
  }
  if (code === 'REPOSITORY_DAMAGED' && !skipDamaged && canSkip) {
    const hint =
      'Nothing live was touched. Drop what was written beside with `tidemark restore --discard`; then --skip-damaged restores all the rest.';
    return new TidemarkError(code, message, { ...details, hint });
  }
  const wayOn =
    'Nothing live was touched: `tidemark restore --resume` goes on, `--discard` drops what was written beside.';
  return new TidemarkError(code, message, {
    ...details,
    hint: code === 'INTERRUPTED' ? wayOn : `${error.hint} ${wayOn}`,
  });
}

type OpenedStore = {
  readonly item: JournalStore;
  readonly point: Point;
  readonly restorer: Restorer;
  readonly decoder: EntryDecoder;
};

/**
 * The order of durable steps: the journal says `writing`; every store is written beside and verified; the journal says `swapping`; every store is
 * exchanged; the journal says `done`. Up to `swapping` nothing live has been touched, from there on `--resume` finishes.
 */
async function restoreAll(
  application: OpenApplication,
  reader: RepositoryReader,
  { start, onPhase }: { readonly start: RestoreJournal; readonly onPhase: (phase: RestorePhase) => void },
  run: Run,
): Promise<RestoreResult> {
  await using stack = new AsyncDisposableStack();
  const mark = markOf(reader, start);
  const opened: OpenedStore[] = [];
  for (const item of start.stores) {
    const at = { ...item, credential: item.credential ?? mark?.credential ?? '' };
    const point = pointAt(reader, at) ?? pointAt(reader, { ...at, base: undefined });
    if (point === undefined) {
      throw new TidemarkError('REPOSITORY_DAMAGED', `the base of ${item.store} that was being restored is gone`);
    }
    const { connector, options, context } = await openStore(application, start, item);
    opened.push({
      item,
      point,
      restorer: stack.use(await connector.openRestorer(options, context, run)),
      decoder: connector,
    });
  }
  const reports = new Map<string, RestoreStoreResult>();
  let journal = start;
  if (journal.phase === 'writing') {
    await save(application, journal, run);
    onPhase('writing');
    await writeAllBeside(application, reader, { opened, journal, reports }, run);
    const counted = journal.stores.flatMap((item) => {
      const report = reports.get(item.store);
      if (report === undefined) return [];
      const { damagedCount, entries, bytes, reusedBytes, segments } = report;
      return [{ ...item, damagedCount, counts: { entries, bytes, reusedBytes, segments } }];
    });
    journal = await save(application, { ...journal, phase: 'swapping', stores: counted }, run);
    onPhase('swapping');
  }
  const swapped: JournalStore[] = [];
  for (const item of journal.stores) {
    const { point, restorer } = must(
      opened.find((other) => other.item.store === item.store),
      'a store that was opened',
    );
    const { keptAside } = await restorer.swap(run);
    swapped.push({ ...item, keptAside });
    const report = reports.get(item.store) ?? storeResult(reader, { item, point }, undefined);
    reports.set(item.store, { ...report, keptAside });
  }
  await save(application, { ...journal, phase: 'done', stores: swapped }, run);
  const { askedMs } = journal;
  const stores = [...reports.values()].map((report) => withNearest(report, journal));
  return {
    ...(mark === undefined ? {} : { mark: markResult(mark.mark, mark.pinned) }),
    ...(askedMs === undefined ? {} : { at: isoTime(askedMs) }),
    stores,
  };
}

/**
 * `--only` is asked of all stores: one that holds nothing of it is told of and gets no report.
 * @throws ENTRY_NOT_FOUND when none does; nothing was written then
 */
async function writeAllBeside(
  application: OpenApplication,
  reader: RepositoryReader,
  work: {
    readonly opened: readonly OpenedStore[];
    readonly journal: RestoreJournal;
    readonly reports: Map<string, RestoreStoreResult>;
  },
  run: Run,
): Promise<void> {
  const { opened, journal, reports } = work;
  const unmatched: { readonly store: string; readonly error: unknown }[] = [];
  for (const store of opened) {
    try {
      reports.set(store.item.store, await writeBeside(application, reader, { ...store, journal }, run));
    } catch (error) {
      if (!isTidemarkError(error, 'ENTRY_NOT_FOUND')) throw error;
      unmatched.push({ store: store.item.store, error });
    }
  }
  const [first] = unmatched;
  if (first !== undefined && reports.size === 0) throw first.error;
  for (const { store } of unmatched) {
    application.context.warn(`${store} holds nothing that matches --only and stays as it is`);
  }
}

function withNearest(report: RestoreStoreResult, { askedMs, stores }: RestoreJournal): RestoreStoreResult {
  const nearest = stores.find(({ store }) => store === report.store)?.nearest;
  if (nearest === undefined || askedMs === undefined) return report;
  return { ...report, nearest: nearestResult(nearest, askedMs) };
}

/** Undefined where each store has a place of its own. */
function markOf(reader: RepositoryReader, { mark: id, stores }: RestoreJournal): MarkRecord | undefined {
  if (id === undefined) return undefined;
  // Another writer may have a mark of the same id.
  const credential = stores.find((item) => item.credential !== undefined)?.credential;
  const found = reader.catalogue.marks.find(
    (record) => record.mark.id === id && (credential === undefined || record.credential === credential),
  );
  if (found !== undefined) return found;
  throw new TidemarkError('TARGET_UNKNOWN', `the mark ${id} that was being restored is no longer there`);
}

async function save(application: OpenApplication, journal: RestoreJournal, run: Run): Promise<RestoreJournal> {
  const { stateFolder, context } = application;
  await saveJournal({ stateFolder, journal, random: context.runtime.random }, run);
  return journal;
}

async function writeBeside(
  application: OpenApplication,
  reader: RepositoryReader,
  store: OpenedStore & { readonly journal: RestoreJournal },
  run: Run,
): Promise<RestoreStoreResult> {
  const { item, point, restorer, decoder, journal } = store;
  const { progress } = application.context;
  const shown = { phase: `restoring ${item.store}`, store: item.store, progress };
  const tellPhase = (phase: string): void =>
    progress.report({ phase: `${phase} ${item.store}`, store: item.store, bytes: 0 });
  if (restorer.rollForward === undefined && point.segments.length > 0) tellPhase('rolling forward');
  using opened =
    restorer.rollForward === undefined ? await openPoint(reader, point, run) : await openBare(reader, point, run);
  const base = withProgress(opened, shown);
  const { report, damaged } =
    journal.skipDamaged && item.canSkipDamaged
      ? await restoreWhole(restorer, base, decoder, run)
      : { report: await restorer.restoreBase(base, run), damaged: [] };
  if (restorer.rollForward !== undefined) {
    tellPhase('rolling forward');
    await restorer.rollForward(logOf(reader, point), point.position, run);
  }
  tellPhase('verifying');
  const { notes: found = [] } = await restorer.verify(run);
  const notes = [...report.notes, ...found];
  return {
    ...storeResult(reader, store, { ...report, notes, noteCount: report.noteCount + found.length }),
    ...(restorer.rollForward === undefined ? {} : { segments: point.segments.length }),
    damaged: damaged.slice(0, MOST_DAMAGED).map(shownName),
    damagedCount: damaged.length,
  };
}

function storeResult(
  reader: RepositoryReader,
  store: Pick<OpenedStore, 'item' | 'point'>,
  report: RestoreReport | undefined,
): RestoreStoreResult {
  const { item, point } = store;
  const { summary, maintenance } = point.base;
  const { skipped } = reader.content(point.base);
  const counts = report ?? item.counts;
  return {
    store: item.store,
    into: placeText(item),
    position: point.position,
    exact: summary.exact,
    bytes: counts?.bytes ?? summary.bytes,
    reusedBytes: counts?.reusedBytes ?? 0,
    entries: counts?.entries ?? summary.entries,
    ...(item.counts?.segments === undefined ? {} : { segments: item.counts.segments }),
    verified: true,
    notes: report?.notes ?? [],
    noteCount: report?.noteCount ?? 0,
    damaged: [],
    damagedCount: item.damagedCount,
    skipped: skipped.map(({ name, reason, incomplete, message }) => ({
      ...shownName(name),
      reason,
      incomplete,
      message,
    })),
    skippedCount: maintenance?.skippedCount ?? skipped.length,
  };
}
