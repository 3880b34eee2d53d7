import type { Run } from '../../core/run.ts';
import type { CondemnedList } from '../records/record-log.ts';
import { findGarbage, neededObjects } from './garbage.ts';
import type { SweepObject } from './garbage.ts';
import { mayGoWith } from './spare-records.ts';
import { withoutYoungNeeds } from './view.ts';
import type { SweepView } from './view.ts';

export type SweepPlan = {
  /** What an earlier pass condemned, whose time has come, and what nothing needs still. */
  readonly remove: readonly SweepObject[];
  /** Keys of condemned lists that are done once `remove` is gone. */
  readonly lists: readonly string[];
  /** What this pass is to condemn. */
  readonly condemn: readonly SweepObject[];
  /** When what waits can go, at the earliest. */
  readonly freeAfterMs: number | undefined;
};

/** What a pass would do. Its view must be fresh: records that were put since are not seen. */
export async function planSweep(view: SweepView, run: Run): Promise<SweepPlan> {
  const { due: dueLists, waiting } = sortLists(view);
  const garbage = await findGarbage(view, run);
  const condemned = new Set(dueLists.flatMap(({ objects }) => objects));
  const due = garbage.filter(({ key }) => condemned.has(key));
  const remove = withoutOrphans(view, withoutEarlyEnds(view, due));
  const awaited = new Set(waiting.flatMap(({ objects }) => objects));
  const ripeMs = waiting.map(({ modifiedMs }) => modifiedMs + view.access.header.leaseMs);
  return {
    remove,
    lists: await doneLists(view, { due: dueLists, remove }, run),
    condemn: garbage.filter(({ key }) => !condemned.has(key) && !awaited.has(key)),
    freeAfterMs: ripeMs.length === 0 ? undefined : Math.max(...ripeMs),
  };
}

/** A list is due a lease after it was put, once every session that it waits for has ended or is dead. */
function sortLists({ lists, live, nowMs, access }: SweepView): {
  readonly due: readonly CondemnedList[];
  readonly waiting: readonly CondemnedList[];
} {
  const isDue = ({ modifiedMs, sessions }: CondemnedList): boolean =>
    modifiedMs + access.header.leaseMs <= nowMs && !sessions.some((session) => live.has(session));
  return { due: lists.filter(isDue), waiting: lists.filter((list) => !isDue(list)) };
}

/** What ends a record stays as long as that does, which another list may name: without it the record would count again. So does the start of what stays. */
function withoutEarlyEnds(view: SweepView, remove: readonly SweepObject[]): readonly SweepObject[] {
  const mayGo = mayGoWith(view, new Set(remove.map(({ key }) => key)));
  const left = remove.filter(({ key }) => {
    const trusted = view.catalogue.log.byKey.get(key);
    return trusted === undefined || mayGo(trusted);
  });
  return left.length < remove.length ? withoutEarlyEnds(view, left) : left;
}

/**
 * Packs and bodies stay as long as a manifest or journal record does that names them: whoever makes a mark over an old base looks for its manifest only.
 */
function withoutOrphans(view: SweepView, remove: readonly SweepObject[]): readonly SweepObject[] {
  const going = new Set(remove.map(({ key }) => key));
  const needed = neededObjects(view, going);
  return remove.filter(({ key }) => !needed.has(key));
}

/**
 * A list stays while something that it names is spared for a need younger than a lease: a sweep that saw the repository before may still be
 * deleting it, and without the list somebody could use it meanwhile. Where listings lag, a list stays until nothing of it is listed.
 */
async function doneLists(
  view: SweepView,
  { due, remove }: { readonly due: readonly CondemnedList[]; readonly remove: readonly SweepObject[] },
  run: Run,
): Promise<readonly string[]> {
  const going = new Set(remove.map(({ key }) => key));
  const { listsAtOnce } = view.access.objects.capabilities;
  const gone = due.filter(({ objects }) => listsAtOnce || !objects.some((key) => going.has(key)));
  const spared = gone.flatMap(({ objects }) => objects.filter((key) => !going.has(key)));
  if (spared.length === 0) return gone.map(({ key }) => key);
  const contested = new Set((await findGarbage(withoutYoungNeeds(view), run)).map(({ key }) => key));
  const isDone = ({ objects }: CondemnedList): boolean => !objects.some((key) => !going.has(key) && contested.has(key));
  return gone.filter(isDone).map(({ key }) => key);
}
