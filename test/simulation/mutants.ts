import { must } from '../../src/core/must.ts';
import type { Run } from '../../src/core/run.ts';
import type { ObjectInfo, ObjectStore } from '../../src/objects/object-store.ts';
import { forward } from '../../src/objects/wrappers/forward.ts';
import { inMaintainerSession } from '../../src/repository/maintainer.ts';
import { loadCondemned } from '../../src/repository/records/record-log.ts';
import type { CondemnedList } from '../../src/repository/records/record-log.ts';
import type { Session } from '../../src/repository/records/session.ts';
import type { SweepReport } from '../../src/repository/sweep.ts';
import { findGarbage } from '../../src/repository/sweep/garbage.ts';
import { neededBases, refuseDamage, viewRepository } from '../../src/repository/sweep/view.ts';
import type { SweepView } from '../../src/repository/sweep/view.ts';
import { planSweep } from '../../src/repository/sweep/plan.ts';
import type { SweepPlan } from '../../src/repository/sweep/plan.ts';
import { announceRemoval, deleteKeys, removeCondemned } from '../../src/repository/sweep/remove.ts';
import { LEASE_MS } from './template.ts';
import { realProtocol } from './world.ts';
import type { Protocol } from './world.ts';

/** One step of the protocol done otherwise. */
export type Mutant = { readonly name: string; readonly protocol: Protocol };

type Steps = {
  readonly view: typeof viewRepository;
  readonly plan: (view: SweepView, run: Run) => Promise<SweepPlan>;
  readonly remove: (view: SweepView, plan: SweepPlan, session: Session, run: Run) => Promise<unknown>;
};

const steps: Steps = { view: viewRepository, plan: planSweep, remove: removeCondemned };

/** The sweep of the product, put together again with a step exchanged. */
export function sweepWith(exchanged: Partial<Steps>): Protocol {
  const { view, plan, remove } = { ...steps, ...exchanged };
  const sweep: Protocol['sweep'] = async (options, run): Promise<SweepReport> => {
    const before = await view(options, undefined, run);
    refuseDamage(before);
    const { result, head } = await inMaintainerSession(
      { ...options, catalogue: before.catalogue },
      async (session) => {
        const seen = await view({ ...options, before }, session.id, run);
        refuseDamage(seen);
        const planned = await plan(seen, run);
        await remove(seen, planned, session, run);
        const objects = planned.condemn.map(({ key }) => key);
        if (objects.length > 0) await session.condemn({ sessions: [...seen.live.keys()], objects }, run);
        return { condemned: planned.condemn, removed: planned.remove, freeAfterMs: planned.freeAfterMs };
      },
      run,
    );
    return {
      ...result,
      heads: [...before.catalogue.heads.frontier.filter(({ session }) => session !== head.session), head],
    };
  };
  return { ...realProtocol, sweep };
}

const withLists = (view: SweepView, change: (list: CondemnedList) => Partial<CondemnedList>): SweepView => ({
  ...view,
  lists: view.lists.map((list) => ({ ...list, ...change(list) })),
});

/** What `due` names, whatever has become of it. */
async function withoutLookingAgain(view: SweepView, run: Run): Promise<SweepPlan> {
  const plan = await planSweep(view, run);
  const due = view.lists.filter(
    ({ modifiedMs, sessions }) => modifiedMs + LEASE_MS <= view.nowMs && !sessions.some((id) => view.live.has(id)),
  );
  const keys = new Set(due.flatMap(({ objects }) => objects));
  return { ...plan, remove: [...keys].map((key) => ({ key, sizeBytes: 0 })), lists: due.map(({ key }) => key) };
}

/** Packs are looked at apart from the manifests that name them. */
function withoutSpareBases(view: SweepView): SweepView {
  const needed = neededBases(view);
  const bases = [...view.catalogue.bases].filter(([key]) => needed.has(key));
  return { ...view, catalogue: { ...view.catalogue, bases: new Map(bases) } };
}

/** What ends a record goes when its own list is due, whatever waits in others. */
async function withEarlyEnds(view: SweepView, run: Run): Promise<SweepPlan> {
  const plan = await planSweep(view, run);
  const due = new Set((await withoutLookingAgain(view, run)).remove.map(({ key }) => key));
  const ends = (await findGarbage(view, run)).filter(({ key }) => due.has(key) && /^(?:void|unpins)\//.test(key));
  const planned = new Set(plan.remove.map(({ key }) => key));
  return { ...plan, remove: [...plan.remove, ...ends.filter(({ key }) => !planned.has(key))] };
}

const keysOf = ({ remove }: SweepPlan): readonly string[] => remove.map(({ key }) => key);

const sweeps: Readonly<Record<string, Protocol>> = {
  'a sweep does not wait a lease': sweepWith({
    plan: (view, run) =>
      planSweep(
        withLists(view, () => ({ modifiedMs: 0 })),
        run,
      ),
  }),
  'a sweep does not wait for sessions': sweepWith({
    plan: (view, run) =>
      planSweep(
        withLists(view, () => ({ sessions: [] })),
        run,
      ),
  }),
  'a sweep takes no notice of who lives': sweepWith({
    view: async (...args) => ({ ...(await viewRepository(...args)), live: new Map() }),
  }),
  'a sweep does not look again before it deletes': sweepWith({ plan: withoutLookingAgain }),
  'a sweep looks at time and lists after the records': sweepWith({
    async view(options, own, run) {
      const view = await viewRepository(options, own, run);
      const nowMs = await options.access.objects.nowMs(run);
      const lists = await loadCondemned(options.access, run);
      return { ...view, lists, nowMs, monotonicMs: options.access.runtime.clock.monotonicMs() };
    },
  }),
  'a sweep takes packs before their manifest is condemned': sweepWith({
    plan: (view, run) => planSweep(withoutSpareBases(view), run),
  }),
  'a sweep takes an unpin or a void before what it ends': sweepWith({ plan: withEarlyEnds }),
  'a sweep deletes its list first': sweepWith({
    async remove(view, plan, session, run) {
      await announceRemoval(view, plan.remove, session, run);
      await deleteKeys(view, plan.lists, run);
      await deleteKeys(view, keysOf(plan), run);
    },
  }),
  'a sweep writes its ledger last': sweepWith({
    async remove(view, plan, session, run) {
      await deleteKeys(view, keysOf(plan), run);
      await announceRemoval(view, plan.remove, session, run);
      await deleteKeys(view, plan.lists, run);
    },
  }),
  'a sweep writes no ledger': sweepWith({
    async remove(view, plan, _session, run) {
      await deleteKeys(view, keysOf(plan), run);
      await deleteKeys(view, plan.lists, run);
    },
  }),
};

/** A writer's session; what it sees of the object store. Each gets a state of its own. */
function writerWith(wrap: (objects: ObjectStore) => Partial<ObjectStore>): Protocol {
  const writerAccess: Protocol['writerAccess'] = (access) => {
    const { objects } = access;
    return { ...access, objects: { ...forward(objects), ...wrap(objects) } };
  };
  return { ...realProtocol, writerAccess };
}

const isCommit = (key: string): boolean => key.startsWith('manifests/') || key.startsWith('journal/');

async function listAll(objects: ObjectStore, prefix: string, run: Run): Promise<readonly ObjectInfo[]> {
  const all: ObjectInfo[] = [];
  for await (const batch of objects.list(prefix, '', run)) all.push(...batch);
  return all;
}

async function* inOne(infos: readonly ObjectInfo[]): AsyncGenerator<readonly ObjectInfo[]> {
  if (infos.length > 0) yield infos;
}

/** Reads the packs when it should look what is condemned; the index is then built from what was there before. */
const readsIndexFirst = writerWith((objects) => {
  const early = new Map<string, readonly ObjectInfo[]>();
  let looked = false;
  return {
    async *list(prefix, after, run) {
      if (prefix === 'condemned/' && !looked) {
        looked = true;
        for (const folder of new Set((await listAll(objects, 'packs/', run)).map(({ key }) => key.slice(0, 39)))) {
          early.set(folder, await listAll(objects, folder, run));
        }
      }
      const known = early.get(prefix);
      early.delete(prefix);
      if (known === undefined) yield* objects.list(prefix, after, run);
      else yield* inOne(known);
    },
  };
});

/** What was condemned when the session began is all that it knows until it has committed. */
const looksOnlyAtFirst = writerWith((objects) => {
  let first: readonly ObjectInfo[] | undefined;
  let committed = false;
  return {
    async create(key, body, run) {
      await objects.create(key, body, run);
      committed = isCommit(key);
    },
    async *list(prefix, after, run) {
      if (prefix !== 'condemned/' || committed) {
        yield* objects.list(prefix, after, run);
        return;
      }
      first ??= await listAll(objects, prefix, run);
      yield* inOne(first);
    },
  };
});

/** After a manifest or a mark it takes everything to be as it was. */
const checksNothingAfterwards = writerWith((objects) => {
  let committed = false;
  const seen = new Map<string, ObjectInfo>();
  return {
    async create(key, body, run) {
      await objects.create(key, body, run);
      committed = isCommit(key);
      seen.set(key, { key, sizeBytes: 0, modifiedMs: 0 });
    },
    async *list(prefix, after, run) {
      if (committed) {
        yield* inOne([...seen.values()].filter(({ key }) => key.startsWith(prefix)));
        return;
      }
      for await (const batch of objects.list(prefix, after, run)) {
        for (const info of batch) seen.set(info.key, info);
        yield batch;
      }
    },
  };
});

/** It does not notice how late a manifest or a mark is. */
const checksNoLease: Protocol = {
  ...realProtocol,
  writerAccess(access) {
    const { objects, runtime } = access;
    let lastBeatMs = 0;
    let lieMs: number | undefined;
    const stat: ObjectStore['stat'] = async (key, run) => {
      const info = await objects.stat(key, run);
      if (info !== undefined && isCommit(key)) {
        lieMs = Number.NEGATIVE_INFINITY;
        return { ...info, modifiedMs: lastBeatMs };
      }
      if (info !== undefined && key.startsWith('sessions/')) lastBeatMs = info.modifiedMs;
      return info;
    };
    // What is asked right after it was read back.
    const monotonicMs = (): number => {
      const ms = lieMs ?? runtime.clock.monotonicMs();
      lieMs = undefined;
      return ms;
    };
    return {
      ...access,
      objects: { ...forward(objects), stat },
      runtime: { ...runtime, clock: { ...runtime.clock, monotonicMs } },
    };
  },
};

/** It does not notice for how long it was silent, and goes on to count on sweeps that no longer wait for it. */
const forgivesItsSilence = writerWith((objects) => {
  let lastMs: number | undefined;
  let shiftMs = 0;
  return {
    async stat(key, run) {
      const info = await objects.stat(key, run);
      if (info === undefined) return info;
      if (key.startsWith('sessions/')) {
        const gapMs = info.modifiedMs - (lastMs ?? info.modifiedMs);
        shiftMs += Math.max(0, gapMs - LEASE_MS / 2);
        lastMs = info.modifiedMs;
      }
      return { ...info, modifiedMs: info.modifiedMs - shiftMs };
    },
  };
});

/** Takes nothing back: voids are swallowed. */
const voidsNothing = writerWith((objects) => {
  const swallowed = new Map<string, Uint8Array>();
  return {
    async create(key, body, run) {
      if (key.startsWith('void/')) swallowed.set(key, Buffer.concat(body));
      else await objects.create(key, body, run);
    },
    async read(key, offset, into, run) {
      const bytes = swallowed.get(key);
      if (bytes === undefined) return await objects.read(key, offset, into, run);
      const piece = bytes.subarray(offset, offset + into.byteLength);
      into.set(piece);
      return piece.byteLength;
    },
    async stat(key, run) {
      if (!swallowed.has(key)) return await objects.stat(key, run);
      return { key, sizeBytes: must(swallowed.get(key), 'bytes').byteLength, modifiedMs: await objects.nowMs(run) };
    },
  };
});

const pinsBlindly: Protocol = {
  ...realProtocol,
  pinStore: (objects) => ({
    ...forward(objects),
    async *list(prefix, after, run) {
      if (prefix !== 'condemned/') yield* objects.list(prefix, after, run);
    },
  }),
};

const writers: Readonly<Record<string, Protocol>> = {
  'a writer reads the index before it looks what is condemned': readsIndexFirst,
  'a writer does not look again after it has renewed': looksOnlyAtFirst,
  'a writer does not check after its manifest': checksNothingAfterwards,
  'a writer does not check its lease': checksNoLease,
  'a writer that was silent counts on lists that no longer wait for it': forgivesItsSilence,
  'a writer does not void what came too late': voidsNothing,
  'a pin does not look what is condemned': pinsBlindly,
};

export const mutants: readonly Mutant[] = Object.entries({ ...writers, ...sweeps }).map(([name, protocol]) => ({
  name,
  protocol,
}));
