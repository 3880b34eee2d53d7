import { TidemarkError } from '../../../core/errors.ts';
import { must } from '../../../core/must.ts';
import type { Run, Runtime } from '../../../core/run.ts';
import { effectiveCommands } from '../commands/command-filter.ts';
import type { MovedExpiry } from '../commands/command-filter.ts';
import { readCommands } from '../commands/command-reader.ts';
import { compileKeyPatterns } from '../key-patterns.ts';
import { Pipeline } from '../pipeline.ts';
import type { RedisPlace } from '../place.ts';
import type { RedisClient } from '../resp-client.ts';
import { movedBy, planExpiry, shiftOf, unparkedBy } from './expiry.ts';
import { loadRdb, routedTo, settleAll } from './load-rdb.ts';
import type { LoadOptions, Routed } from './load-rdb.ts';
import { sendShards } from './send-shards.ts';
import { clearTarget, contentOf, infoOf, keepContent, openTargets, rdbVersionOf, timeOf } from './server-target.ts';
import type { ServerTarget, Targets } from './server-target.ts';
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
 * Puts what was staged into a server. The order of durable steps: what is there is kept; the state says `replacing`; all of it is removed, and what was restored
 * sent; the state says `done`. A call after one that was cut off begins anew with removing.
 * @throws RESTORE_CONFLICT when something is there that may not be replaced; RESTORE_FAILED, STORE_UNREACHABLE, UNSUPPORTED
 */
export async function swapIntoServer(swap: ServerSwap, run: Run): Promise<Kept> {
  const { files, only } = swap;
  let state = must(await readState(files), 'something was staged');
  if (state.phase === 'done') return keptOf(files, state);
  await using targets = await openTargets(swap.place, swap.runtime.clock, run);
  await assertTakes(targets, state, run);
  if (state.phase === 'staged') {
    const there = await contentOfAny(targets, only, run);
    if (there !== undefined && !swap.replace) throw notEmpty(targets, there);
    if (there !== undefined) await keep(swap, targets, 0, run);
    state = await saveState(withRandom(swap), replacing(state, targets, 0, there), run);
  }
  const started = state;
  for (const { client } of targets.all) await clearTarget(client, only, run);
  await withoutEviction(targets, run, async () => {
    if (started.shards === undefined) await send(swap, { client: firstOf(targets).client, state: started }, run);
    else await sendCluster(swap, { targets, state: started, shards: started.shards }, run);
  });
  state = await saveState(withRandom(swap), { ...state, phase: 'done' }, run);
  return keptOf(files, state);
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
  if (state.phase === 'done') {
    const there = await contentOfAny(targets, only, run);
    if (there !== undefined) await keep(swap, targets, turn, run);
    state = await saveState(withRandom(swap), replacing(state, targets, turn, there), run);
  }
  for (const { client } of targets.all) await clearTarget(client, only, run);
  if (state.kept[turn - 1] === true) {
    const parts = state.keptParts?.[turn - 1] ?? 1;
    const into = routed(targets);
    await withoutEviction(targets, run, async () => {
      for (let part = 0; part < parts; part += 1) {
        const path = files.kept(turn - 1, part);
        await loadRdb({ path, into, expiry: undefined, fieldShiftMs: 0, only: filterOf(only) }, run);
      }
      await settleAll(into);
    });
  }
  state = await saveState(withRandom(swap), { ...state, phase: 'done' }, run);
  return keptOf(files, state);
}

function replacing(state: RestoreState, { all }: Targets, turn: number, there: string | undefined): RestoreState {
  const keptParts = all.length === 1 ? state.keptParts : { ...state.keptParts, [turn]: all.length };
  return { ...state, phase: 'replacing', turn, kept: { ...state.kept, [turn]: there !== undefined }, keptParts };
}

async function contentOfAny(
  { all }: Targets,
  only: readonly string[] | undefined,
  run: Run,
): Promise<string | undefined> {
  for (const { client } of all) {
    const there = await contentOf(client, only, run);
    if (there !== undefined) return there;
  }
  return undefined;
}

async function keep(
  { files, runtime: { clock } }: ServerSwap,
  { all }: Targets,
  turn: number,
  run: Run,
): Promise<void> {
  for (const [part, { server }] of all.entries()) {
    await keepContent({ server, path: files.kept(turn, part), clock }, run);
  }
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
  for (const { shard } of shards) {
    const own = shardFiles(files, shard);
    const path = isChosen ? own.chosen : own.rdb;
    await loadRdb({ path, into, ...loadedWith(moved), only: filterOf(only) }, run);
  }
  await settleAll(into);
  if (!hasLog || isChosen) return;
  await sendShards({ files, shards, targets, into, expiry: moved }, run);
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

/** Before anything is removed. */
async function assertTakes(targets: Targets, state: RestoreState, run: Run): Promise<void> {
  if (targets.isCluster && state.shards === undefined) {
    throw new TidemarkError('UNSUPPORTED', `${targets.shown} can take in only what was a cluster’s`, {
      hint: 'Commands of a single server may concern keys of several slots: restore into a server of its own.',
    });
  }
  for (const target of targets.all) await assertServerTakes(target, state, run);
}

async function assertServerTakes({ client, shown }: ServerTarget, state: RestoreState, run: Run): Promise<void> {
  const version = await rdbVersionOf(client, run);
  if (version < state.rdbVersion) {
    throw new TidemarkError(
      'UNSUPPORTED',
      `${shown} takes values of RDB version ${version}, and these are of version ${state.rdbVersion}`,
      { hint: 'Restore into a server of the version that was backed up, or a newer one.' },
    );
  }
  const databases = await settingOf(client, 'databases', run);
  if (databases !== undefined && state.databases > databases) {
    throw new TidemarkError('UNSUPPORTED', `${shown} has ${databases} databases, and ${state.databases} are needed`, {
      hint: 'Raise `databases` in its configuration and start it anew.',
    });
  }
  const limit = await settingOf(client, 'proto-max-bulk-len', run);
  if (limit !== undefined && state.largestBytes > limit) {
    throw new TidemarkError(
      'UNSUPPORTED',
      `${shown} takes values of ${limit} bytes at most, and the largest has ${state.largestBytes}`,
      {
        hint: 'Raise its proto-max-bulk-len and client-query-buffer-limit for the time of the restore, or restore into files.',
      },
    );
  }
}

async function settingOf(client: RedisClient, name: string, run: Run): Promise<number | undefined> {
  try {
    const reply = await client.call(['CONFIG', 'GET', name], run);
    const value: unknown = Array.isArray(reply) ? reply[1] : undefined;
    return value instanceof Uint8Array ? Number(Buffer.from(value).toString()) : undefined;
  } catch {
    // Managed services do not let their settings be read; then the server itself refuses what is too large.
    run.signal.throwIfAborted();
    return undefined;
  }
}

function notEmpty({ shown }: Targets, there: string): TidemarkError {
  return new TidemarkError('RESTORE_CONFLICT', `${shown} is not empty: it holds ${there}`, {
    hint: 'Name the store in --replace to have it replaced, which keeps what it holds; or send it elsewhere with --into STORE=URL.',
  });
}
