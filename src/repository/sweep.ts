import { TidemarkError } from '../core/errors.ts';
import type { Run } from '../core/run.ts';
import type { ObjectInfo } from '../objects/object-store.ts';
import type { RepositoryAccess } from './access.ts';
import { loadCatalogue } from './catalogue.ts';
import type { Catalogue } from './catalogue.ts';
import { packKey, parsePackKey, parseRecordKey } from './format/names.ts';
import { fromHex } from '../core/bytes.ts';
import { replacedIndexObjects } from './replaced-index.ts';
import { inMaintainerSession, maintainerOf, protectedBases } from './maintainer.ts';
import type { MaintainerOptions } from './maintainer.ts';
import type { Head } from './records/heads.ts';
import { supersededLedgers, writeLedger } from './records/ledger.ts';
import { loadCondemned, openTrusted } from './records/record-log.ts';
import type { TrustedRecord } from './records/record-log.ts';
import type { Session } from './records/session.ts';

/** Leases without a beat after which a session is taken for dead. */
const DEAD_LEASES = 2;
/** Records of past runs that stay at least. */
const RUNS_KEPT = 500;
/** Sweeps leave a session and a ledger behind themselves: these go only when there are more, or else no sweep would ever find nothing to do. */
const BARE_SESSIONS_KEPT = 32;
const SUPERSEDED_LEDGERS_KEPT = 8;
const DELETES_AT_ONCE = 500;

export type SweepObject = { readonly key: string; readonly sizeBytes: number };

export type SweepReport = {
  /** What this sweep condemned, or would. */
  readonly condemned: readonly SweepObject[];
  /** What it deleted of what earlier sweeps had condemned, or would. */
  readonly removed: readonly SweepObject[];
  /** By the object store's clock: when what is condemned now can go, at the earliest. */
  readonly freeAfterMs: number | undefined;
  readonly heads: readonly Head[];
};

/** A session that may still commit something. */
type LiveSession = { readonly id: string; readonly credential: string; readonly startedMs: number };

/** The repository as a sweep sees it: everything it decides follows from this and the object store's time. */
type View = {
  readonly access: RepositoryAccess;
  readonly catalogue: Catalogue;
  readonly nowMs: number;
  readonly live: readonly LiveSession[];
};

async function view(options: MaintainerOptions, own: string | undefined, run: Run): Promise<View> {
  const { access } = options;
  const catalogue = await loadCatalogue(access, options.remembered, run);
  const nowMs = await access.objects.nowMs(run);
  const deadBeforeMs = nowMs - DEAD_LEASES * access.header.leaseMs;
  const live: LiveSession[] = [];
  for (const [id, lastBeatMs] of catalogue.log.lastBeatMs) {
    const start = catalogue.log.byKey.get(`sessions/${id}/00000000`);
    if (id === own || catalogue.log.byKey.has(`sessions/${id}/end`) || lastBeatMs < deadBeforeMs) continue;
    live.push({ id, credential: start?.record.header.credential ?? '', startedMs: start?.modifiedMs ?? 0 });
  }
  return { access, catalogue, nowMs, live };
}

/** Damage may hide what is needed: nothing is deleted while there is some. */
function refuseDamage({ catalogue }: View): void {
  const [first] = catalogue.findings;
  if (first === undefined) return;
  throw new TidemarkError('REPOSITORY_DAMAGED', `nothing is swept while the repository is damaged: ${first.message}`);
}

function liveSessionIds(seen: View): ReadonlySet<string> {
  return new Set(seen.live.map(({ id }) => id));
}

/** Manifests whose base must stay. */
function neededBases(seen: View): ReadonlySet<string> {
  const live = liveSessionIds(seen);
  const needed = new Set(seen.catalogue.marks.flatMap(({ mark }) => Object.values(mark.bases)));
  for (const key of protectedBases(seen.catalogue).keys()) needed.add(key);
  for (const base of seen.catalogue.bases.values()) if (live.has(base.session)) needed.add(base.key);
  return needed;
}

function neededPacks(seen: View): ReadonlySet<string> {
  const packs = new Set<string>();
  for (const key of neededBases(seen)) {
    const base = seen.catalogue.bases.get(key);
    for (const pack of base?.maintenance?.packs ?? []) packs.add(packKey(base?.credential ?? '', fromHex(pack)));
  }
  return packs;
}

/** A pack that a live session may have written without having said so yet. */
function mayBeUnderWay(seen: View, pack: ObjectInfo): boolean {
  const credential = parsePackKey(pack.key)?.credential;
  return seen.live.some((session) => session.credential === credential && session.startedMs <= pack.modifiedMs);
}

/** Chained records that nothing needs, for which a ledger speaks before they go. */
function spareRecords(seen: View): readonly TrustedRecord[] {
  const { catalogue } = seen;
  const live = liveSessionIds(seen);
  const bases = neededBases(seen);
  const journals = new Set(catalogue.marks.map(({ key }) => key));
  const activePins = new Set([...catalogue.pins.values()].flat());
  const superseded = new Set(supersededLedgers(catalogue.ledgers).map(({ record }) => record.key));
  if (superseded.size <= SUPERSEDED_LEDGERS_KEPT) superseded.clear();
  const runs = [...catalogue.log.byKey.values()].filter(({ record }) => record.header.kind === 'run').toSorted((left, right) => right.modifiedMs - left.modifiedMs);
  const oldRuns = new Set(runs.slice(RUNS_KEPT).map(({ record }) => record.key));
  const isSpare = (trusted: TrustedRecord): boolean => {
    const { kind, session } = trusted.record.header;
    const { key } = trusted.record;
    if (live.has(session)) return false;
    switch (kind) {
      case 'manifest':
        return !bases.has(key);
      case 'journal':
        return !journals.has(key);
      case 'pin':
        return !activePins.has(key);
      case 'unpin':
      case 'void':
        return true;
      case 'proof':
        return !bases.has(openTrusted(seen.access, trusted, ['maintenance'])?.text('manifest') ?? '');
      case 'ledger':
        return superseded.has(key);
      case 'run':
        return oldRuns.has(key);
      case 'start':
      case 'end':
      case 'beat':
      case 'condemned':
        return false;
    }
  };
  const spare = [...catalogue.log.byKey.values()].filter(isSpare);
  return [...keepDependents(seen, spare), ...finishedSessions(seen, new Set(spare.map(({ record }) => record.key)))];
}

/** A void goes only with what it voids, an unpin only with the pins that it ends. */
function keepDependents(seen: View, spare: readonly TrustedRecord[]): readonly TrustedRecord[] {
  const keys = new Set(spare.map(({ record }) => record.key));
  const there = (key: string): boolean => seen.catalogue.log.byKey.has(key) && !keys.has(key);
  return spare.filter((trusted) => {
    const { kind } = trusted.record.header;
    if (kind === 'void') return !there(openTrusted(seen.access, trusted, ['plain'])?.text('record') ?? '');
    if (kind === 'unpin') return !(openTrusted(seen.access, trusted, ['maintenance'])?.texts('pins') ?? []).some(there);
    return true;
  });
}

/** Start and end of sessions of which nothing else is left. */
function finishedSessions(seen: View, going: ReadonlySet<string>): readonly TrustedRecord[] {
  const live = liveSessionIds(seen);
  const emptied: TrustedRecord[] = [];
  const bare: TrustedRecord[][] = [];
  for (const [session, chain] of seen.catalogue.chains) {
    const records = [...chain.values()];
    const frame = records.filter(({ record }) => record.header.kind === 'start' || record.header.kind === 'end');
    const rest = records.length - frame.length - records.filter(({ record }) => going.has(record.key)).length;
    if (rest > 0 || live.has(session)) continue;
    if (records.length > frame.length) emptied.push(...frame);
    else bare.push(frame);
  }
  return bare.length > BARE_SESSIONS_KEPT ? [...emptied, ...bare.flat()] : emptied;
}

/** Everything that nothing needs and that is older than a lease. */
async function garbage(seen: View, run: Run): Promise<readonly SweepObject[]> {
  const { access, catalogue, nowMs } = seen;
  const oldMs = nowMs - access.header.leaseMs;
  const needed = neededPacks(seen);
  const live = liveSessionIds(seen);
  const found: SweepObject[] = [];
  for await (const batch of access.objects.list('packs/', '', run)) {
    for (const pack of batch) {
      if (parsePackKey(pack.key) === undefined || pack.modifiedMs > oldMs || needed.has(pack.key) || mayBeUnderWay(seen, pack)) continue;
      found.push({ key: pack.key, sizeBytes: pack.sizeBytes });
    }
  }
  for (const { record, modifiedMs } of spareRecords(seen)) {
    if (modifiedMs <= oldMs) found.push({ key: record.key, sizeBytes: record.signed.byteLength + record.signature.byteLength });
  }
  for (const key of catalogue.log.beatKeys) {
    const name = parseRecordKey(key);
    const isOld = name !== undefined && (catalogue.log.lastBeatMs.get(name.session) ?? nowMs) <= oldMs;
    if (name !== undefined && isOld && !live.has(name.session)) found.push({ key, sizeBytes: 0 });
  }
  for (const object of await replacedIndexObjects(access.objects, run)) {
    if (object.modifiedMs <= oldMs) found.push({ key: object.key, sizeBytes: object.sizeBytes });
  }
  return found;
}

/** Condemned lists whose time has come. */
async function dueLists(seen: View, run: Run): Promise<{ readonly due: readonly { list: TrustedRecord; objects: readonly string[] }[]; readonly waiting: ReadonlySet<string>; readonly freeAfterMs: number | undefined }> {
  const live = liveSessionIds(seen);
  const due: { list: TrustedRecord; objects: readonly string[] }[] = [];
  const waiting = new Set<string>();
  let freeAfterMs: number | undefined;
  for (const list of await loadCondemned(seen.access, seen.catalogue.log.certificates, run)) {
    const fields = openTrusted(seen.access, list, ['plain']);
    const objects = fields?.texts('objects') ?? [];
    const ripeMs = list.modifiedMs + seen.access.header.leaseMs;
    const held = fields?.texts('sessions').some((session) => live.has(session)) ?? true;
    if (ripeMs <= seen.nowMs && !held) {
      due.push({ list, objects });
      continue;
    }
    for (const key of objects) waiting.add(key);
    freeAfterMs = Math.max(freeAfterMs ?? 0, ripeMs);
  }
  return { due, waiting, freeAfterMs };
}

async function removeDue(seen: View, options: { objects: readonly SweepObject[]; lists: readonly TrustedRecord[]; session: Session }, run: Run): Promise<void> {
  const { access, catalogue } = seen;
  const removed = options.objects.flatMap(({ key }) => {
    const header = catalogue.log.byKey.get(key)?.record.header;
    return header === undefined ? [] : [{ session: header.session, counter: header.counter }];
  });
  if (removed.length > 0) {
    const body = catalogue.ledger.extend({ forgotten: [], removed, atMs: access.runtime.clock.nowMs() });
    await options.session.put('ledger', [{ name: 'maintenance', value: writeLedger(body) }], run);
  }
  const keys = options.objects.map(({ key }) => key);
  for (let at = 0; at < keys.length; at += DELETES_AT_ONCE) {
    await access.objects.delete(keys.slice(at, at + DELETES_AT_ONCE), run);
  }
  await access.objects.delete(
    options.lists.map(({ record }) => record.key),
    run,
  );
}

/**
 * One pass: deletes what earlier passes condemned and nothing needs still, then condemns what nothing needs now. Without `apply` it only says
 * what it would do. Several sweeps at once are safe. @throws REPOSITORY_DAMAGED when something that could be needed can't be read
 */
export async function sweep(options: MaintainerOptions & { readonly apply: boolean }, run: Run): Promise<SweepReport> {
  maintainerOf(options.access);
  const before = await view(options, undefined, run);
  refuseDamage(before);
  const expected = await planSweep(before, run);
  const isIdle = expected.condemn.length + expected.remove.length + expected.lists.length === 0;
  if (!options.apply || isIdle) {
    return { condemned: expected.condemn, removed: expected.remove, freeAfterMs: expected.freeAfterMs, heads: before.catalogue.heads.frontier };
  }
  const { result, head } = await inMaintainerSession(
    { ...options, catalogue: before.catalogue },
    async (session) => {
      const seen = await view(options, session.id, run);
      refuseDamage(seen);
      const plan = await planSweep(seen, run);
      await removeDue(seen, { objects: plan.remove, lists: plan.lists, session }, run);
      let freeAfterMs = plan.freeAfterMs;
      if (plan.condemn.length > 0) {
        const list = await session.condemn({ sessions: seen.live.map(({ id }) => id), objects: plan.condemn.map(({ key }) => key) }, run);
        freeAfterMs = list.modifiedMs + options.access.header.leaseMs;
      }
      return { condemned: plan.condemn, removed: plan.remove, freeAfterMs };
    },
    run,
  );
  return { ...result, heads: [...before.catalogue.heads.frontier, head] };
}

async function planSweep(seen: View, run: Run) {
  const { due, waiting, freeAfterMs } = await dueLists(seen, run);
  const all = await garbage(seen, run);
  const condemnedBefore = new Set(due.flatMap(({ objects }) => objects));
  return {
    remove: all.filter(({ key }) => condemnedBefore.has(key)),
    lists: due.map(({ list }) => list),
    condemn: all.filter(({ key }) => !condemnedBefore.has(key) && !waiting.has(key)),
    freeAfterMs,
  };
}
