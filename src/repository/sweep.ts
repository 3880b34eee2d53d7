import { TidemarkError } from '../core/errors.ts';
import type { Run } from '../core/run.ts';
import { inMaintainerSession, maintainerOf } from './maintainer.ts';
import type { MaintainerOptions } from './maintainer.ts';
import type { Head } from './records/heads.ts';
import type { Session } from './records/session.ts';
import type { SweepObject } from './sweep/garbage.ts';
import { planSweep } from './sweep/plan.ts';
import type { SweepPlan } from './sweep/plan.ts';
import { isStale, removeCondemned } from './sweep/remove.ts';
import { refuseDamage, viewRepository } from './sweep/view.ts';
import type { SweepView } from './sweep/view.ts';

export type SweepReport = {
  /** What this sweep condemned, or would. */
  readonly condemned: readonly SweepObject[];
  /** What it deleted of what earlier sweeps had condemned, or would. */
  readonly removed: readonly SweepObject[];
  /** By the object store's clock: when what is condemned now can go, at the earliest. */
  readonly freeAfterMs: number | undefined;
  readonly heads: readonly Head[];
};

/**
 * One pass: deletes what earlier passes condemned and nothing needs still, then condemns what nothing needs now. Without `apply` it only says
 * what it would do. Several sweeps at once are safe.
 * @throws REPOSITORY_DAMAGED when something that could be needed can't be read; FENCED when this host was held up for too long
 */
export async function sweep(options: MaintainerOptions & { readonly apply: boolean }, run: Run): Promise<SweepReport> {
  maintainerOf(options.access);
  const before = await viewRepository(options, undefined, run);
  refuseDamage(before);
  const expected = await planSweep(before, run);
  const { frontier } = before.catalogue.heads;
  if (!options.apply || isIdle(expected)) {
    const { condemn, remove, freeAfterMs } = expected;
    return { condemned: condemn, removed: remove, freeAfterMs, heads: frontier };
  }
  const { result, head } = await inMaintainerSession(
    { ...options, catalogue: before.catalogue },
    (session) => sweepIn(session, { ...options, before }, run),
    run,
  );
  return { ...result, heads: [...frontier, head] };
}

function isIdle({ condemn, remove, lists }: SweepPlan): boolean {
  return condemn.length + remove.length + lists.length === 0;
}

async function sweepIn(
  session: Session,
  options: MaintainerOptions & { readonly before: SweepView },
  run: Run,
): Promise<Omit<SweepReport, 'heads'>> {
  const removed: SweepObject[] = [];
  for (;;) {
    const view = await viewRepository(options, session.id, run);
    refuseDamage(view);
    const plan = await planSweep(view, run);
    const done = await removeCondemned(view, plan, session, run);
    removed.push(...done);
    if (done.length < plan.remove.length) {
      if (done.length === 0) throw heldUp();
      await session.keep(run);
      continue;
    }
    // Sessions that began since it was seen may use what the list would name, and it would not wait for them.
    const condemned = isStale(view) ? [] : plan.condemn;
    const freeAfterMs = await condemn(view, { ...plan, condemn: condemned }, session, run);
    return { condemned, removed, freeAfterMs };
  }
}

/** Lists what this pass found, and the sessions that may still use it. Returns when it can go. */
async function condemn(view: SweepView, plan: SweepPlan, session: Session, run: Run): Promise<number | undefined> {
  if (plan.condemn.length === 0) return plan.freeAfterMs;
  const list = await session.condemn(
    { sessions: [...view.live.keys()], objects: plan.condemn.map(({ key }) => key) },
    run,
  );
  return list.modifiedMs + view.access.header.leaseMs;
}

function heldUp(): TidemarkError {
  return new TidemarkError('FENCED', 'this sweep was held up for too long to delete anything', {
    disposition: 'retry',
  });
}
