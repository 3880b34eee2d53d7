import { isTidemarkError } from '../../src/core/errors.ts';
import { must } from '../../src/core/must.ts';
import type { Run } from '../../src/core/run.ts';
import { loadCatalogue } from '../../src/repository/catalogue.ts';
import type { MarkRecord } from '../../src/repository/catalogue.ts';
import { forget, setPinned } from '../../src/repository/maintainer.ts';
import { newMarkId } from '../../src/repository/mark.ts';
import type { Mark } from '../../src/repository/mark.ts';
import type { SessionInfo } from '../../src/repository/records/session.ts';
import { RepositoryWriter } from '../../src/repository/writer.ts';
import type { WrittenBase } from '../../src/repository/writer.ts';
import { createMemoryChunkIndex } from './memory-chunk-index.ts';
import type { BaseContent } from './model.ts';
import { scriptedBase } from './scripted-base.ts';
import { engineOf, LEASE_MS, STORES } from './template.ts';
import type { Actor, World } from './world.ts';

const ATTEMPTS = 2;

function infoOf({ host }: Actor, command: string): SessionInfo {
  return { application: 'simulated', host: host.name, command, tool: 'simulation' };
}

/** Most commands begin at such moments, so that they meet: what is condemned at one can be deleted at the next. */
const MOMENT_MS = 1.04 * LEASE_MS;

async function untilMoment(world: World, { random }: Actor, mostMoments: number): Promise<void> {
  const nowMs = world.clock.monotonicMs();
  if (random.chance(0.3)) {
    await world.clock.sleep(random.integer(mostMoments * MOMENT_MS), world.run);
    return;
  }
  const moment = Math.ceil(nowMs / MOMENT_MS) + random.integer(mostMoments);
  const jitterMs = random.integer(LEASE_MS * random.pick([0.01, 0.1]));
  await world.clock.sleep(moment * MOMENT_MS - nowMs + jitterMs, world.run);
}

/** Does `work` until the host is dead or it was done `times`. What it fails with is what a network does to it. */
async function repeatedly(
  world: World,
  actor: Actor,
  { times, mostMoments }: { readonly times: number; readonly mostMoments: number },
  work: () => Promise<void>,
): Promise<void> {
  for (let turn = 0; turn < times && !actor.host.dead; turn += 1) {
    await untilMoment(world, actor, mostMoments);
    try {
      await work();
    } catch (error) {
      if (!isTidemarkError(error)) throw error;
      if (error.code === 'BUG') world.violate(`${actor.host.name}: ${error.message}`);
      if (isTidemarkError(error, 'REPOSITORY_DAMAGED') && !world.lags) {
        world.violate(`${actor.host.name} took the repository for damaged: ${error.message}`);
      }
    }
  }
}

export async function backUpRepeatedly(world: World, actor: Actor, times: number): Promise<void> {
  let scan = 0;
  await repeatedly(world, actor, { times, mostMoments: 2 }, async () => {
    for (let attempt = 1; ; attempt += 1) {
      scan += 1;
      try {
        await backUpOnce(world, actor, drawRequest(world, actor, scan));
        return;
      } catch (error) {
        if (attempt === ATTEMPTS || !isTidemarkError(error, 'FENCED')) throw error;
      }
    }
  });
}

/** What a backup stores. */
export type BackupRequest = {
  readonly scan: number;
  readonly contents: ReadonlyMap<string, BaseContent>;
  readonly name?: string | undefined;
  /** Called before each read, for the time that it takes. */
  readonly pause: (run: Run) => Promise<void>;
  /** Whether a session that fails says so. */
  readonly endsFailed: boolean;
};

function drawRequest(world: World, { random, host }: Actor, scan: number): BackupRequest {
  const drawContent = (): BaseContent => {
    const names = ['a', 'b', 'c', 'd'].filter(() => random.chance(0.6));
    return new Map(['fixed', ...names].map((name) => [name, random.pick(world.pool)]));
  };
  const contents = new Map(STORES.filter(() => random.chance(0.7)).map((store) => [store, drawContent()]));
  const name = random.chance(0.15) ? `kept by ${host.name}` : undefined;
  const slowestMs = LEASE_MS * random.pick([0.02, 0.02, 0.2, 1, 2.5]);
  const pause = async (run: Run): Promise<void> => {
    if (random.chance(0.5)) await host.clock.sleep(random.integer(slowestMs), run);
  };
  return { scan, contents, name, pause, endsFailed: random.chance(0.7) };
}

/** A session, as the application has it: bases, and a mark over them and over the newest ones of the other stores. */
export async function backUpOnce(world: World, actor: Actor, request: BackupRequest): Promise<void> {
  const { access, host } = actor;
  const run: Run = world.run;
  host.disturbed = false;
  host.made.clear();
  const openEngine = engineOf(access);
  await using writer = await RepositoryWriter.open(
    {
      access: world.protocol.writerAccess(access),
      info: infoOf(actor, 'backup'),
      stateFolder: undefined,
      dryRun: false,
      remembered: actor.remembered,
      openIndex: async () => createMemoryChunkIndex(),
      openEngine,
      openRetryEngine: openEngine,
    },
    run,
  );
  if (!world.lags) {
    for (const { message } of writer.catalogue.findings) world.violate(`${host.name} finds: ${message}`);
  }
  try {
    const taken = new Map<string, WrittenBase>();
    for (const store of request.contents.keys()) {
      taken.set(store, await takeBase(world, actor, { writer, store, request }));
    }
    const mark = composeMark(actor, { writer, taken, name: request.name });
    if (mark === undefined) return;
    world.model.attempt(mark.id);
    await writer.putMark(mark, run);
    world.model.commit({ id: mark.id, bases: mark.bases, isNamed: mark.name !== undefined });
    await writer.putRun(run, { outcome: 'done', summary: {} });
    await writer.end(run);
    actor.remembered = writer.heads;
  } catch (error) {
    if (isTidemarkError(error, 'FENCED')) judgeFence(world, actor, error.message);
    if (request.endsFailed) await endFailed(writer, run);
    throw error;
  }
}

/**
 * From this the protocol spares a writer that is in time: it hears of what is condemned long before it goes, and what it makes itself is not
 * condemned while it lives.
 */
function judgeFence(world: World, { host }: Actor, message: string): void {
  if (host.disturbed || world.lags || world.hasVandal) return;
  const isOwn = [...host.made].some((key) => message.includes(key));
  if (isOwn || message.endsWith('is gone')) world.violate(`${host.name}, never disturbed: ${message}`);
}

async function endFailed(writer: RepositoryWriter, run: Run): Promise<void> {
  try {
    await writer.putRun(run, { outcome: 'failed', summary: {} });
    await writer.end(run);
  } catch (error) {
    if (!isTidemarkError(error)) throw error;
  }
}

type BaseToTake = { readonly writer: RepositoryWriter; readonly store: string; readonly request: BackupRequest };

async function takeBase(world: World, { host }: Actor, { writer, store, request }: BaseToTake): Promise<WrittenBase> {
  const { pause, scan } = request;
  const content = must(request.contents.get(store), 'a content of each store');
  const cut = { lineage: `${store} by ${host.name}`, order: String(scan), resume: '' };
  await using base = scriptedBase({ content, cut, pause });
  const written = await writer.writeBase(
    {
      store,
      history: store,
      exact: 'position',
      connector: 'scripted',
      url: 'scripted:',
      base,
      manifest: '',
      allowEmpty: true,
      onProgress: () => undefined,
    },
    world.run,
  );
  world.model.contents.set(written.key, content);
  return written;
}

type MarkToCompose = {
  readonly writer: RepositoryWriter;
  readonly taken: ReadonlyMap<string, WrittenBase>;
  readonly name: string | undefined;
};

/** Over all stores, as the application does; undefined where there is nothing to mark. */
function composeMark({ random }: Actor, { writer, taken, name }: MarkToCompose): Mark | undefined {
  const positions: Record<string, Mark['positions'][string]> = {};
  const bases: Record<string, string> = {};
  const missing: string[] = [];
  let atMs = 0;
  for (const store of STORES) {
    const own = taken.get(store);
    const older = own === undefined ? writer.standingBase(store) : undefined;
    const [key, cut] = [own?.key ?? older?.key, own?.cut ?? older?.summary.cut];
    if (key === undefined || cut === undefined) {
      missing.push(store);
      continue;
    }
    positions[store] = cut;
    bases[store] = key;
    atMs = Math.max(atMs, own?.endedAtMs ?? older?.summary.createdAtMs ?? 0);
  }
  if (Object.keys(bases).length === 0) return undefined;
  return {
    id: newMarkId(atMs, random.bytes(4)),
    name,
    tags: [],
    class: 'clock',
    atMs,
    skewMs: 0,
    positions,
    bases,
    missing,
  };
}

export async function sweepRepeatedly(world: World, actor: Actor, times: number): Promise<void> {
  await repeatedly(world, actor, { times, mostMoments: 2 }, () => sweepOnce(world, actor));
}

export async function sweepOnce(world: World, actor: Actor): Promise<void> {
  const { access, remembered } = actor;
  const options = { access, remembered, info: infoOf(actor, 'sweep'), apply: true };
  const report = await world.protocol.sweep(options, world.run);
  actor.remembered = report.heads;
}

/** Gives up all marks but few, or, where nobody else does, pins and unpins one. */
export async function tendRepeatedly(
  world: World,
  actor: Actor,
  { times, pins }: { readonly times: number; readonly pins: boolean },
): Promise<void> {
  const { random } = actor;
  await repeatedly(world, actor, { times, mostMoments: 3 }, async () => {
    if (pins && random.chance(0.4)) await pinOnce(world, actor, (marks) => random.pick(marks));
    else await giveUpOnce(world, actor, { last: random.integer(3), daily: random.integer(2) });
  });
}

export async function giveUpOnce(
  world: World,
  actor: Actor,
  keep: { readonly last: number; readonly daily: number },
): Promise<void> {
  const { access, remembered } = actor;
  const policy = { windowMs: 0, hourly: 0, weekly: 0, monthly: 0, ...keep };
  try {
    const options = { access, remembered, info: infoOf(actor, 'forget'), policy, timezone: 'UTC' };
    const { selection, heads } = await forget(options, world.run);
    world.model.giveUp(selection.forgotten.map(({ mark }) => mark.id));
    actor.remembered = heads;
  } catch (error) {
    // Nobody knows whether it took effect.
    world.model.giveUpAny();
    throw error;
  }
}

/** Pins a mark, or unpins it where it is pinned. */
export async function pinOnce(
  world: World,
  actor: Actor,
  choose: (marks: readonly MarkRecord[]) => MarkRecord,
): Promise<void> {
  const { remembered } = actor;
  const { model } = world;
  const access = { ...actor.access, objects: world.protocol.pinStore(actor.access.objects) };
  const pinning = model.beginPinning();
  try {
    const catalogue = await loadCatalogue(access, remembered, world.run);
    if (catalogue.marks.length === 0) return;
    const { mark, pinned } = choose(catalogue.marks);
    if (pinned) model.unpin(mark.id);
    else model.mayPin(mark.id);
    const options = { access, remembered, info: infoOf(actor, 'pin'), catalogue, mark: mark.id, pinned: !pinned };
    actor.remembered = await setPinned(options, world.run);
    if (!pinned) model.pin(mark.id);
    else if (pinning.isAlone() && !world.lags) model.unpinned(mark.id);
  } finally {
    pinning.end();
  }
}
