import { TidemarkError } from '../core/errors.ts';
import type { Run } from '../core/run.ts';
import type { RepositoryAccess } from './access.ts';
import { newestOf } from './base-order.ts';
import { loadCatalogue, packKeysOf } from './catalogue.ts';
import type { Catalogue } from './catalogue.ts';
import { basesOfMarks, neededSegments, objectsOf } from './log-needs.ts';
import { segmentPackKeys } from './log-view.ts';
import type { Head } from './records/heads.ts';
import { writeLedger } from './records/ledger.ts';
import type { LedgerBody, LedgerNews } from './records/ledger.ts';
import { loadCondemned } from './records/record-log.ts';
import { Session } from './records/session.ts';
import type { SessionInfo } from './records/session.ts';
import type { MaintainerCredential } from './keys/credential.ts';
import { selectMarks } from './retention.ts';
import type { RetentionPolicy, Selection } from './retention.ts';

export type MaintainerOptions = {
  readonly access: RepositoryAccess;
  readonly info: SessionInfo;
  readonly remembered: readonly Head[];
};

export function maintainerOf(access: RepositoryAccess): MaintainerCredential {
  if (access.maintainer === undefined) {
    throw new TidemarkError('KEY_MISSING', 'this takes a maintainer’s credential or the owner’s passphrase');
  }
  return access.maintainer;
}

export type ProtectedReason = 'newest base' | 'proven base';

/**
 * Bases that retention never takes: of each history the newest that a mark names, or else the newest, and the newest that was proven; and of one that has a
 * log the newest that is sure to be whole, also while no mark names it: what is recorded after a gap goes on from there. Where their writer may take
 * some back, also those that it would be without them.
 */
export function protectedBases(
  catalogue: Pick<Catalogue, 'bases' | 'marks' | 'histories'>,
): ReadonlyMap<string, ProtectedReason> {
  const kept = new Map<string, ProtectedReason>();
  const basesOf = Map.groupBy(catalogue.bases.values(), ({ summary }) => summary.history);
  const sureMarks = catalogue.marks.filter(({ isConfirmed }) => isConfirmed);
  for (const marks of [catalogue.marks, sureMarks]) {
    const marked = basesOfMarks(marks);
    for (const [history, all] of basesOf) {
      const sure = all.filter(({ isConfirmed }) => isConfirmed);
      const bases = all.filter(({ key }) => marked.has(key));
      const proven = newestOf(bases.filter(({ provenAtMs }) => provenAtMs !== undefined));
      const hasLog = (catalogue.histories.get(history)?.runs.length ?? 0) > 0;
      const unmarked = marks === sureMarks ? sure : all;
      const newest = [newestOf(bases.length > 0 ? bases : unmarked), hasLog ? newestOf(sure) : undefined];
      if (proven !== undefined) kept.set(proven.key, 'proven base');
      for (const base of newest) if (base !== undefined) kept.set(base.key, 'newest base');
    }
  }
  return kept;
}

/** Runs `work` in a session of the maintainer and ends it, also when it fails. */
export async function inMaintainerSession<T>(
  options: MaintainerOptions & { readonly catalogue: Catalogue },
  work: (session: Session) => Promise<T>,
  run: Run,
): Promise<{ readonly result: T; readonly head: Head }> {
  const { access, info, catalogue } = options;
  const credential = maintainerOf(access);
  const session = await Session.open({ access, credential, heads: catalogue.heads.frontier, info }, run);
  let result: T;
  try {
    result = await work(session);
  } catch (error) {
    await endFailed(session);
    throw error;
  }
  await session.end(run);
  return { result, head: session.head };
}

/** So that nobody waits for its lease. The first error is the one that counts. */
async function endFailed(session: Session): Promise<void> {
  try {
    await session.end({ signal: new AbortController().signal });
  } catch (second) {
    if (!(second instanceof TidemarkError)) throw second;
  }
}

/** What retention keeps and gives up now. Writes nothing. */
export async function planForget(
  options: MaintainerOptions & { readonly policy: RetentionPolicy; readonly timezone: string },
  run: Run,
): Promise<{ readonly catalogue: Catalogue; readonly selection: Selection }> {
  maintainerOf(options.access);
  const catalogue = await loadCatalogue(options.access, options.remembered, run);
  const { policy, timezone } = options;
  return {
    catalogue,
    selection: selectMarks({
      marks: catalogue.marks,
      policy,
      timezone,
      keptBases: protectedBases(catalogue),
    }),
  };
}

/** What a ledger says that gives up these marks and records, and all that was said before. */
export function extendLedger(
  catalogue: Catalogue,
  news: Pick<LedgerNews, 'forgotten' | 'removed' | 'heads' | 'atMs'>,
): LedgerBody {
  return catalogue.ledger.extend({
    ...news,
    isMark: (id) => catalogue.markIds.has(id),
    isSession: (session) => catalogue.chains.has(session),
  });
}

/** Gives up the marks that the policy does not keep. What they needed is freed by the next sweeps. */
export async function forget(
  options: MaintainerOptions & { readonly policy: RetentionPolicy; readonly timezone: string },
  run: Run,
): Promise<{ readonly selection: Selection; readonly heads: readonly Head[] }> {
  const { catalogue, selection } = await planForget(options, run);
  if (selection.forgotten.length === 0) return { selection, heads: catalogue.heads.frontier };
  const forgotten = selection.forgotten.map(({ mark }) => mark.id);
  const { head } = await inMaintainerSession(
    { ...options, catalogue },
    async (session) => {
      const body = extendLedger(catalogue, { forgotten, removed: [], heads: [], atMs: session.storeNowMs });
      await session.put('ledger', [{ name: 'plain', value: writeLedger(body) }], run);
    },
    run,
  );
  return { selection, heads: [...catalogue.heads.frontier, head] };
}

/**
 * Pins a mark, or ends all its pins. When a pin resolves, the mark stays, unless its writer has not said yet that it is whole and takes it back.
 * @throws TARGET_UNKNOWN when retention gave the mark up meanwhile and a sweep may be taking it
 */
export async function setPinned(
  options: MaintainerOptions & { readonly catalogue: Catalogue; readonly mark: string; readonly pinned: boolean },
  run: Run,
): Promise<readonly Head[]> {
  const { access, catalogue, mark, remembered } = options;
  const { result, head } = await inMaintainerSession(
    options,
    async (session) => {
      const atMs = session.storeNowMs;
      if (!options.pinned) {
        const pins = catalogue.pins.get(mark) ?? [];
        await session.put('unpin', [{ name: 'maintenance', value: { mark, atMs, pins } }], run);
        return await loadCatalogue(access, remembered, run, catalogue.log);
      }
      const pin = await session.put('pin', [{ name: 'maintenance', value: { mark, atMs } }], run);
      // First the lists, then the records: a list goes after what it names.
      const lists = await loadCondemned(access, run);
      const after = await loadCatalogue(access, remembered, run, catalogue.log);
      if (isSafe(after, mark, new Set(lists.flatMap(({ objects }) => objects)))) return after;
      await session.put('unpin', [{ name: 'maintenance', value: { mark, atMs, pins: [pin.key] } }], run);
      throw new TidemarkError('TARGET_UNKNOWN', `mark ${mark} was given up by retention while it was being pinned`);
    },
    run,
  );
  return [...result.heads.frontier.filter(({ session }) => session !== head.session), head];
}

/** Whoever sees a mark given up later sees its pin as well; one that was given up before may be under way to be deleted, or lack what has been. */
function isSafe(catalogue: Catalogue, mark: string, condemned: ReadonlySet<string>): boolean {
  const records = catalogue.marks.filter((record) => record.mark.id === mark);
  if (records.length === 0 || !catalogue.ledger.forgotten.has(mark)) return records.length > 0;
  return records.every((record) => {
    if (record.mark.missing.length > record.signed.missing.length) return false;
    const bases = [...record.standsOn.values()];
    const segments = [...neededSegments(catalogue, { marks: [record], ends: [] })];
    const packs = [
      ...bases.flatMap((key) => packKeysOf(catalogue.bases.get(key))),
      ...segments.flatMap((segment) => segmentPackKeys(segment)),
    ];
    const objects = [record.key, ...bases, ...packs, ...segments.flatMap((segment) => objectsOf(segment))];
    return !objects.some((key) => condemned.has(key));
  });
}
