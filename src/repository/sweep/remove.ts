import type { Run } from '../../core/run.ts';
import type { Head } from '../records/heads.ts';
import { readHeads } from '../records/heads.ts';
import { writeLedger } from '../records/ledger.ts';
import type { RemovedRecord } from '../records/ledger.ts';
import { openTrusted } from '../records/record-log.ts';
import type { Session } from '../records/session.ts';
import { extendLedger } from '../maintainer.ts';
import type { SweepObject } from './garbage.ts';
import type { SweepPlan } from './plan.ts';
import type { SweepView } from './view.ts';

const DELETES_AT_ONCE = 500;
/** A view may be acted upon for this part of a lease: other sweeps count on it. */
const STALE_PART = 2;

/**
 * Says in a ledger which records go, deletes the plan's objects, then the lists that are done. Returns what was deleted; fewer than planned
 * when the view has become too old to go on with it.
 */
export async function removeCondemned(
  view: SweepView,
  plan: Pick<SweepPlan, 'remove' | 'lists'>,
  session: Session,
  run: Run,
): Promise<readonly SweepObject[]> {
  if (isStale(view)) return [];
  await announceRemoval(view, plan.remove, session, run);
  const removed: SweepObject[] = [];
  for (let at = 0; at < plan.remove.length; at += DELETES_AT_ONCE) {
    if (isStale(view)) return removed;
    const batch = plan.remove.slice(at, at + DELETES_AT_ONCE);
    await deleteKeys(
      view,
      batch.map(({ key }) => key),
      run,
    );
    removed.push(...batch);
  }
  // Last: while a list is there nobody uses what it names, and once it is not there what it named isn't either.
  if (!isStale(view)) await deleteKeys(view, plan.lists, run);
  return removed;
}

/** By a clock that counts suspend. */
export function isStale({ access, monotonicMs }: SweepView): boolean {
  return access.runtime.clock.monotonicMs() - monotonicMs > access.header.leaseMs / STALE_PART;
}

/** Puts a ledger that names the records among these objects, where there are any. */
export async function announceRemoval(
  { catalogue, access }: SweepView,
  objects: readonly SweepObject[],
  session: Session,
  run: Run,
): Promise<void> {
  const removed: RemovedRecord[] = [];
  const heads: Head[] = [];
  for (const { key } of objects) {
    const trusted = catalogue.log.byKey.get(key);
    if (trusted === undefined) continue;
    const { kind, session: id, counter } = trusted.record.header;
    removed.push({ session: id, counter });
    const named = kind === 'start' ? openTrusted(access, trusted, ['plain']) : undefined;
    if (named !== undefined) heads.push(...readHeads(named));
  }
  if (removed.length === 0) return;
  const body = extendLedger(catalogue, { forgotten: [], removed, heads, atMs: session.storeNowMs });
  await session.put('ledger', [{ name: 'plain', value: writeLedger(body) }], run);
}

export async function deleteKeys({ access }: SweepView, keys: readonly string[], run: Run): Promise<void> {
  for (let at = 0; at < keys.length; at += DELETES_AT_ONCE) {
    await access.objects.delete(keys.slice(at, at + DELETES_AT_ONCE), run);
  }
}
