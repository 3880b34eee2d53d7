import { TidemarkError } from '../../core/errors.ts';
import type { Run } from '../../core/run.ts';
import type { RepositoryAccess } from '../access.ts';
import { loadCatalogue, readCatalogue } from '../catalogue.ts';
import type { BaseRecord, Catalogue } from '../catalogue.ts';
import { recordKey } from '../format/names.ts';
import type { RecordKind } from '../format/names.ts';
import { basesOfMarks, neededSegments } from '../log-needs.ts';
import { protectedBases } from '../maintainer.ts';
import type { Head } from '../records/heads.ts';
import { loadCondemned } from '../records/record-log.ts';
import type { CondemnedList } from '../records/record-log.ts';

/** Leases without a beat after which a session is taken for dead. */
const DEAD_LEASES = 2;

/** A session that may still commit something. `credential`: unknown when a sweep took its start before it came back to life. */
export type LiveSession = {
  readonly id: string;
  readonly credential: string | undefined;
  readonly startedMs: number;
};

/** The repository as a sweep sees it: everything that it decides follows from this. */
export type SweepView = {
  readonly access: RepositoryAccess;
  /** By the object store's clock, before the rest was read. */
  readonly nowMs: number;
  /** The same moment by this host's monotonic clock. */
  readonly monotonicMs: number;
  /** What is older than this is older than a lease. */
  readonly oldMs: number;
  readonly lists: readonly CondemnedList[];
  readonly catalogue: Catalogue;
  readonly live: ReadonlyMap<string, LiveSession>;
};

export type ViewOptions = {
  readonly access: RepositoryAccess;
  readonly remembered: readonly Head[];
  /** An earlier view by the same command: records that still lie there are not read again. */
  readonly before?: SweepView | undefined;
};

/**
 * First the time, then the lists, then the sessions and records: so whatever is found due was condemned before the records were read, and a
 * session that is taken for dead has committed nothing that is not among them. `own`: the session that sweeps.
 */
export async function viewRepository(
  { access, remembered, before }: ViewOptions,
  own: string | undefined,
  run: Run,
): Promise<SweepView> {
  const { leaseMs } = access.header;
  const monotonicMs = access.runtime.clock.monotonicMs();
  const nowMs = await access.objects.nowMs(run);
  const lists = await loadCondemned(access, run);
  const catalogue = await loadCatalogue(access, remembered, run, before?.catalogue.log);
  // Where listings lag, a session's end may show before its last records.
  const endedMs = access.objects.capabilities.listsAtOnce ? Infinity : nowMs - leaseMs / 2;
  const live = new Map<string, LiveSession>();
  for (const [id, lastBeatMs] of catalogue.log.lastBeatMs) {
    const end = catalogue.log.byKey.get(recordKey('end', id, 0));
    const hasEnded = end !== undefined && end.modifiedMs <= endedMs;
    if (id === own || hasEnded || lastBeatMs < nowMs - DEAD_LEASES * leaseMs) continue;
    const start = catalogue.log.byKey.get(recordKey('start', id, 0));
    live.set(id, { id, credential: start?.record.header.credential, startedMs: start?.modifiedMs ?? 0 });
  }
  return { access, nowMs, monotonicMs, oldMs: nowMs - leaseMs, lists, catalogue, live };
}

/** Damage may hide what is needed: nothing is deleted while there is some. @throws REPOSITORY_DAMAGED */
export function refuseDamage({ catalogue }: SweepView): void {
  const [first] = catalogue.findings;
  if (first === undefined) return;
  throw new TidemarkError('REPOSITORY_DAMAGED', `nothing is swept while the repository is damaged: ${first.message}`);
}

/** Manifests whose base must stay. */
export function neededBases({ catalogue, live }: SweepView): ReadonlySet<string> {
  const needed = new Set(basesOfMarks(catalogue.marks));
  for (const key of protectedBases(catalogue).keys()) needed.add(key);
  for (const base of catalogue.bases.values()) if (live.has(base.session)) needed.add(base.key);
  return needed;
}

/** Keys of journal records that must stay: of marks, of the segments that lead to them, and of gaps that are younger than the oldest mark. */
export function neededJournals(view: SweepView): ReadonlySet<string> {
  const { catalogue } = view;
  const { marks, gaps } = catalogue;
  const ends = [...protectedBases(catalogue).keys()].flatMap((key) => catalogue.bases.get(key) ?? []);
  const needed = new Set(marks.flatMap(({ heldBy }) => heldBy));
  for (const { key } of neededSegments(catalogue, { marks, ends })) needed.add(key);
  const oldestMs = marks[0]?.mark.atMs ?? -Infinity;
  for (const { key, toMs } of gaps) if (toMs >= oldestMs) needed.add(key);
  return needed;
}

/** Bases that nothing needs and that are old enough to go. */
export function spareBases(view: SweepView): readonly BaseRecord[] {
  const needed = neededBases(view);
  return [...view.catalogue.bases.values()].filter((base) => !needed.has(base.key) && base.modifiedMs <= view.oldMs);
}

/** Records that make something needed; the others only end a need, or need nothing. */
const needing: ReadonlySet<RecordKind> = new Set<RecordKind>(['journal', 'manifest', 'pin', 'proof']);

/** As if all that needs something and is younger than a lease were not there, and nobody alive. */
export function withoutYoungNeeds(view: SweepView): SweepView {
  const { access, catalogue, oldMs } = view;
  const old = [...catalogue.log.byKey].filter(
    ([, { record, modifiedMs }]) => modifiedMs <= oldMs || !needing.has(record.header.kind),
  );
  const log = { ...catalogue.log, byKey: new Map(old) };
  return { ...view, catalogue: readCatalogue(access, log, { remembered: [], whole: catalogue }), live: new Map() };
}
