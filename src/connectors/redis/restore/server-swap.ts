import { existsSync } from 'node:fs';
import { rename } from 'node:fs/promises';
import { TidemarkError } from '../../../core/errors.ts';
import { must } from '../../../core/must.ts';
import type { Run, Runtime } from '../../../core/run.ts';
import { effectiveCommands } from '../commands/command-filter.ts';
import type { MovedExpiry } from '../commands/command-filter.ts';
import { readCommands } from '../commands/command-reader.ts';
import type { CommandBatch } from '../commands/command-reader.ts';
import { compileKeyPatterns } from '../key-patterns.ts';
import { Pipeline } from '../pipeline.ts';
import type { RedisPlace } from '../place.ts';
import type { RedisClient } from '../resp-client.ts';
import { movedBy, planExpiry, shiftOf, unparkedBy } from './expiry.ts';
import { loadRdb, routedTo, settleAll } from './load-rdb.ts';
import type { LoadOptions, Routed } from './load-rdb.ts';
import { sendShards, slotOwners } from './send-shards.ts';
import { KeptContent, keptCommandsEnd } from './kept-content.ts';
import {
  contentOf,
  databasesOf,
  infoOf,
  openTargets,
  removeAll,
  removeMatching,
  timeOf,
  untilGiven,
} from './server-target.ts';
import type { ServerTarget, Targets } from './server-target.ts';
import { SlotClaims } from './slot-claims.ts';
import { stagedCommands } from './staged-cluster.ts';
import { checkRdb } from './staging.ts';
import type { StagedFacts } from './staging.ts';
import { assertPermits, assertTakes } from './target-checks.ts';
import type { Needs } from './target-checks.ts';
import { unparkAll } from './unpark.ts';
import { filePieces, readState, saveState, shardFiles } from './work-files.ts';
import type { RestoreState, StagedShard, WorkFiles } from './work-files.ts';

export type ServerSwap = {
  readonly place: RedisPlace;
  readonly files: WorkFiles;
  readonly runtime: Runtime;
  readonly only: readonly string[] | undefined;
  readonly replace: boolean;
};

type Kept = { readonly keptAside?: string | undefined };

/**
 * Puts what was staged into a server. The order of durable steps: the server is known to take it; what is there is kept; the state says `replacing`; all of it
 * is removed, and what was restored sent; the state says `done`. A call after one that was cut off begins anew with removing, where the server is the same.
 * @throws RESTORE_CONFLICT when something is there that may not be replaced; RESTORE_FAILED, STORE_UNREACHABLE, UNSUPPORTED
 */
export async function swapIntoServer(swap: ServerSwap, run: Run): Promise<Kept> {
  const { files, only } = swap;
  const staged = must(await readState(files), 'something was staged');
  if (staged.phase === 'done') return keptOf(files, staged);
  await using targets = await openTargets(swap.place, swap.runtime.clock, run);
  if (targets.isCluster && staged.shards === undefined) throw notOfCluster(targets);
  // Of a cluster nobody knows how much of it each master will hold.
  const needs = targets.isCluster ? { ...staged, usedBytes: 0 } : staged;
  for (const target of targets.all) {
    await assertPermits(target, { only }, run);
    // An older server does not know all that the log does either; that it is older says more.
    await assertTakes(target, needs, run);
    await assertPermits(target, { only, samples: staged.samples ?? [] }, run);
  }
  const state = await makeRoom(swap, { targets, state: staged, turn: 0 }, run);
  await withoutEviction(targets, run, async () => {
    if (state.shards === undefined) await send(swap, { client: firstOf(targets).client, state }, run);
    else await sendCluster(swap, { targets, state, shards: state.shards }, run);
  });
  return await finish(swap, { targets, state }, run);
}

/**
 * Puts back what was there before a restore, or before its undo; what is there now is kept in turn. Goes on with a turn that was cut off.
 * @throws NOTHING_TO_RESUME; RESTORE_UNFINISHED when the restore, or another turn, was cut off
 */
export async function undoInServer(swap: ServerSwap, turn: number, run: Run): Promise<Kept> {
  const { files, only } = swap;
  let state = await readState(files);
  if (state === undefined || state.phase === 'staged') {
    throw new TidemarkError('NOTHING_TO_RESUME', 'no restore has put anything into this server');
  }
  if (state.phase === 'done' && state.turn === turn) return keptOf(files, state);
  if (state.turn !== (state.phase === 'done' ? turn - 1 : turn)) {
    throw new TidemarkError('RESTORE_UNFINISHED', 'a restore into this server, or its undo, was cut off');
  }
  await using targets = await openTargets(swap.place, swap.runtime.clock, run);
  const count = state.kept[turn - 1] === true ? (state.keptParts?.[turn - 1] ?? 1) : 0;
  const parts = Array.from({ length: count }, (_, part) => part).filter((part) =>
    existsSync(files.kept(turn - 1, part)),
  );
  for (const target of targets.all) await assertPermits(target, { only }, run);
  for (const part of parts) {
    const needs = needsOf(await checkRdb(files.kept(turn - 1, part), run));
    for (const target of targets.all) await assertTakes(target, needs, run);
  }
  state = await makeRoom(swap, { targets, state, turn }, run);
  await withoutEviction(targets, run, async () => await sendKept(swap, { targets, turn: turn - 1, parts }, run));
  return await finish(swap, { targets, state }, run);
}

type Replacing = { readonly targets: Targets; readonly state: RestoreState };

/** Removes what is there, and keeps it unless this restore has put it there itself. @throws RESTORE_CONFLICT, with nothing removed */
async function makeRoom(
  swap: ServerSwap,
  { targets, state, turn }: Replacing & { readonly turn: number },
  run: Run,
): Promise<RestoreState> {
  const { only, runtime } = swap;
  const { all } = targets;
  const isBegun = state.phase === 'replacing';
  const ours = isBegun ? await oursAmong(targets, state, run) : new Set<ServerTarget>();
  const others = all.filter((target) => !ours.has(target));
  const there = await contentOfAny(others, only, run);
  if (there !== undefined && !swap.replace) throw notEmpty(targets, there, isBegun);
  await using keeping = new AsyncDisposableStack();
  const contents: (readonly [ServerTarget, KeptContent])[] = [];
  for (const target of there === undefined ? [] : others) {
    contents.push([target, keeping.use(await keep(swap, { target, part: all.indexOf(target), state, turn }, run))]);
  }
  for (const [{ client }, content] of contents) {
    await untilGiven(client, runtime.clock, run);
    await content.reach(await offsetOf(client, run), run);
  }
  const marks = all.map((_, part) => markOf(targets, part, { state, runtime }));
  // Where nothing is there now, and another server had something before, that stays what an undo puts back.
  const isKept = there !== undefined || (isBegun && state.kept[turn] === true);
  const keptParts = all.length === 1 ? state.keptParts : { ...state.keptParts, [turn]: all.length };
  const kept = { ...state.kept, [turn]: isKept };
  const replacing = { ...state, phase: 'replacing', turn, kept, keptParts, marks } as const;
  await saveState(withRandom(swap), { ...replacing, runIds: isBegun ? state.runIds : [] }, run);
  for (const [part, target] of all.entries()) {
    const { client } = target;
    const mark = must(marks[part], 'a mark');
    await client.call(['SELECT', '0'], run);
    if (only === undefined && (there !== undefined || ours.has(target))) {
      await removeAll(client, { mark, clock: runtime.clock }, run);
    }
    await client.call(['SET', mark, ''], run);
    if (only !== undefined) await removeMatching(client, { only, except: marks }, run);
  }
  for (const [{ client }, content] of contents) await content.reach(await offsetOf(client, run), run);
  const runIds: string[] = [];
  for (const { client } of all) {
    const runId = await runIdOf(client, run);
    if (runId !== undefined) runIds.push(runId);
  }
  return await saveState(withRandom(swap), { ...replacing, runIds }, run);
}

/** The servers of which this restore has removed what was there, and not others at their addresses. */
async function oursAmong(
  { all, routeOf }: Targets,
  { marks = [], runIds = [] }: RestoreState,
  run: Run,
): Promise<ReadonlySet<ServerTarget>> {
  const ours = new Set<ServerTarget>();
  for (const [part, target] of all.entries()) {
    const { client } = target;
    const runId = await runIdOf(client, run);
    if (runId !== undefined && runIds.includes(runId)) ours.add(target);
    await client.call(['SELECT', '0'], run);
    for (const mark of marks) {
      if (routeOf(Buffer.from(mark)) === part && (await client.call(['EXISTS', mark], run)) === 1) ours.add(target);
    }
  }
  return ours;
}

/** A key that this server takes. */
function markOf(
  { routeOf }: Targets,
  part: number,
  { state, runtime }: { readonly state: RestoreState; readonly runtime: Runtime },
): string {
  const takes = (mark: string): boolean => routeOf(Buffer.from(mark)) === part;
  const known = state.phase === 'replacing' ? state.marks?.find(takes) : undefined;
  if (known !== undefined) return known;
  for (;;) {
    const mark = `tidemark:restoring:${Buffer.from(runtime.random(8)).toString('hex')}`;
    if (takes(mark)) return mark;
  }
}

async function finish(swap: ServerSwap, { targets, state }: Replacing, run: Run): Promise<Kept> {
  for (const [part, { client }] of targets.all.entries()) {
    const marks = (state.marks ?? []).filter((mark) => targets.routeOf(Buffer.from(mark)) === part);
    // What was sent may have exchanged databases.
    for (const { index } of await databasesOf(client, run)) {
      await client.call(['SELECT', String(index)], run);
      for (const mark of marks) await client.call(['DEL', mark], run);
    }
  }
  const done = { ...state, phase: 'done', marks: undefined, runIds: undefined } as const;
  return keptOf(swap.files, await saveState(withRandom(swap), done, run));
}

/** Some services do not say it. */
async function runIdOf(client: RedisClient, run: Run): Promise<string | undefined> {
  return (await infoOf(client, 'server', run)).get('run_id');
}

async function offsetOf(client: RedisClient, run: Run): Promise<bigint> {
  const [offset] = /^\d{1,19}$/.exec((await infoOf(client, 'replication', run)).get('master_repl_offset') ?? '') ?? [];
  return BigInt(offset ?? 0);
}

function needsOf({ version, highestDatabase, largestBytes }: StagedFacts): Needs {
  return { rdbVersion: version, databases: highestDatabase + 1, largestBytes };
}

async function contentOfAny(
  all: readonly ServerTarget[],
  only: readonly string[] | undefined,
  run: Run,
): Promise<string | undefined> {
  for (const { client } of all) {
    const there = await contentOf(client, only, run);
    if (there !== undefined) return there;
  }
  return undefined;
}

type Keeping = {
  readonly target: ServerTarget;
  readonly part: number;
  readonly state: RestoreState;
  readonly turn: number;
};

/** What was kept of another server that was at this address stays on this host until the restore is discarded. */
async function keep(
  { files, runtime: { clock } }: ServerSwap,
  { target, part, state, turn }: Keeping,
  run: Run,
): Promise<KeptContent> {
  const [rdb, commands] = [files.kept(turn, part), files.keptCommands(turn, part)];
  if (state.phase === 'replacing' && state.kept[turn] === true && existsSync(rdb)) {
    const earlier = `earlier-${clock.nowMs()}`;
    for (const path of [rdb, commands]) if (existsSync(path)) await rename(path, `${path}.${earlier}`);
  }
  return await KeptContent.begin({ server: target.server, clock, rdb, commands }, run);
}

/** What was kept, to servers that hold nothing of it. Of a part of the keys there is only what the RDB has. */
async function sendKept(
  { files, only }: ServerSwap,
  { targets, turn, parts }: { readonly targets: Targets; readonly turn: number; readonly parts: readonly number[] },
  run: Run,
): Promise<void> {
  const ends = new Map<number, number>();
  for (const part of only === undefined ? parts : []) {
    ends.set(part, await keptCommandsEnd(files.keptCommands(turn, part), run));
  }
  const hasLog = [...ends.values()].some((end) => end > 0);
  const nowMs = await timeOf(firstOf(targets).client, run);
  const { moved, unpark } = planExpiry({ policy: 'absolute', pointMs: nowMs, nowMs, hasLog });
  const into = routed(targets);
  for (const part of parts) {
    await loadRdb({ path: files.kept(turn, part), into, ...loadedWith(moved), only: filterOf(only) }, run);
  }
  await settleAll(into);
  if (!hasLog) return;
  const followed = async function* (): AsyncGenerator<{ readonly shard: number; readonly batch: CommandBatch }> {
    for (const [part, to] of ends) {
      if (to === 0) continue;
      const pieces = filePieces(files.keptCommands(turn, part), run, { to });
      for await (const batch of readCommands(pieces)) yield { shard: part, batch };
    }
  };
  if (targets.isCluster) {
    await sendShards({ commands: followed(), owners: undefined, targets, into, expiry: moved }, run);
  } else {
    const [pipeline] = into.pipelines;
    for await (const { batch } of followed()) await pipeline?.send(effectiveCommands(batch, moved), run);
    await settleAll(into);
  }
  for (const { client } of targets.all) await unparkAll(client, unpark, run);
}

function firstOf({ all }: Targets): ServerTarget {
  return must(all[0], 'a server');
}

function routed({ all, routeOf }: Targets): Routed {
  return { pipelines: all.map(({ client }) => new Pipeline(client)), routeOf };
}

function keptOf(files: WorkFiles, { kept, keptParts, turn }: RestoreState): Kept {
  if (kept[turn] !== true) return {};
  return { keptAside: keptParts?.[turn] === undefined ? files.kept(turn) : files.folder };
}

function withRandom({ files, runtime: { random } }: ServerSwap): Parameters<typeof saveState>[0] {
  return { files, random };
}

function filterOf(only: readonly string[] | undefined): ReturnType<typeof compileKeyPatterns> | undefined {
  return only && compileKeyPatterns(only);
}

/** What was staged, to a server that holds nothing of it. */
async function send(
  { place, files, only }: ServerSwap,
  { client, state }: { readonly client: RedisClient; readonly state: RestoreState },
  run: Run,
): Promise<void> {
  const { pointMs } = state;
  const nowMs = await timeOf(client, run);
  const pipeline = new Pipeline(client);
  const into = routedTo(pipeline);
  if (only !== undefined) {
    const shiftMs = shiftOf(place.expiry, pointMs, nowMs);
    const path = state.hasLog ? files.chosen : files.rdb;
    const moved = state.hasLog ? unparkedBy(shiftMs) : movedBy(shiftMs);
    await loadRdb({ path, into, ...loadedWith(moved), only: filterOf(only) }, run);
    await pipeline.settle();
    return;
  }
  const { moved, unpark } = planExpiry({ policy: place.expiry, pointMs, nowMs, hasLog: state.hasLog });
  await loadRdb({ path: files.rdb, into, ...loadedWith(moved) }, run);
  await pipeline.settle();
  if (!state.hasLog) return;
  await client.call(['SELECT', String(state.streamDatabase)], run);
  for await (const batch of readCommands(filePieces(files.commands, run))) {
    await pipeline.send(effectiveCommands(batch, moved), run);
  }
  await pipeline.settle();
  await unparkAll(client, unpark, run);
}

function loadedWith(moved: MovedExpiry | undefined): Pick<LoadOptions, 'expiry' | 'fieldShiftMs'> {
  return { expiry: moved?.map, fieldShiftMs: moved?.fieldShiftMs ?? 0 };
}

/** What was staged of the shards of a cluster, to a server or a cluster that holds nothing of it. */
async function sendCluster(
  { place, files, only }: ServerSwap,
  {
    targets,
    state,
    shards,
  }: { readonly targets: Targets; readonly state: RestoreState; readonly shards: readonly StagedShard[] },
  run: Run,
): Promise<void> {
  const { pointMs, hasLog } = state;
  const nowMs = await timeOf(firstOf(targets).client, run);
  const into = routed(targets);
  const isChosen = only !== undefined && hasLog;
  const expiry = planExpiry({ policy: place.expiry, pointMs, nowMs, hasLog: hasLog && !isChosen });
  const moved = isChosen ? unparkedBy(shiftOf(place.expiry, pointMs, nowMs)) : expiry.moved;
  const claims = new SlotClaims(isChosen ? [] : (state.moves ?? []));
  const leavesOut = (key: Uint8Array): boolean => claims.isAnew(key);
  for (const { shard } of shards) {
    const own = shardFiles(files, shard);
    const path = isChosen ? own.chosen : own.rdb;
    await loadRdb({ path, into, ...loadedWith(moved), only: filterOf(only), leavesOut }, run);
  }
  await settleAll(into);
  if (!hasLog || isChosen) return;
  const commands = stagedCommands(files, shards, run);
  await sendShards({ commands, owners: slotOwners(shards), claims, targets, into, expiry: moved }, run);
  for (const { client } of targets.all) await unparkAll(client, expiry.unpark, run);
}

/** A server at its limit of memory may drop keys to make room for others. @throws RESTORE_FAILED when it did */
async function withoutEviction({ all, shown }: Targets, run: Run, work: () => Promise<void>): Promise<void> {
  const evicted = async (): Promise<string> => {
    const counts: (string | undefined)[] = [];
    for (const { client } of all) counts.push((await infoOf(client, 'stats', run)).get('evicted_keys'));
    return counts.join();
  };
  const before = await evicted();
  await work();
  if ((await evicted()) === before) return;
  throw new TidemarkError(
    'RESTORE_FAILED',
    `${shown} has dropped keys, since all of them need more memory than its maxmemory`,
    {
      hint: 'Raise maxmemory, then run `tidemark restore --resume`, which begins anew with what it writes.',
    },
  );
}

function notOfCluster({ shown }: Targets): TidemarkError {
  return new TidemarkError('UNSUPPORTED', `${shown} can take in only what was a cluster’s`, {
    hint: 'Commands of a single server may concern keys of several slots: restore into a server of its own.',
  });
}

function notEmpty({ shown }: Targets, there: string, isAnother: boolean): TidemarkError {
  const why = isAnother ? ', and nothing shows that it is the server that was being restored into' : '';
  return new TidemarkError('RESTORE_CONFLICT', `${shown} is not empty: it holds ${there}${why}`, {
    hint: 'Empty it before, or let it be replaced with `tidemark restore --resume --replace STORE`, which keeps what it holds.',
  });
}
