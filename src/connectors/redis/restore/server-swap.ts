import { existsSync } from 'node:fs';
import { rename } from 'node:fs/promises';
import { TidemarkError } from '../../../core/errors.ts';
import { must } from '../../../core/must.ts';
import type { Run, Runtime } from '../../../core/run.ts';
import { effectiveCommands } from '../commands/command-filter.ts';
import { readCommands } from '../commands/command-reader.ts';
import { compileKeyPatterns } from '../key-patterns.ts';
import { Pipeline } from '../pipeline.ts';
import type { RedisPlace } from '../place.ts';
import type { RedisClient } from '../resp-client.ts';
import { planExpiry, shiftOf } from './expiry.ts';
import { chosenExpiry } from './chosen.ts';
import { loadRdb } from './load-rdb.ts';
import { KeptContent, keptCommandsEnd } from './kept-content.ts';
import {
  contentOf,
  databasesOf,
  infoOf,
  openTarget,
  removeAll,
  removeMatching,
  timeOf,
  unparkKeys,
} from './server-target.ts';
import type { ServerTarget } from './server-target.ts';
import { checkRdb } from './staging.ts';
import type { StagedFacts } from './staging.ts';
import { assertPermits, assertTakes } from './target-checks.ts';
import type { Needs } from './target-checks.ts';
import { filePieces, readState, saveState } from './work-files.ts';
import type { RestoreState, WorkFiles } from './work-files.ts';

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
  const { files, only, place } = swap;
  let state = must(await readState(files), 'something was staged');
  if (state.phase === 'done') return keptOf(files, state);
  await using target = await openTarget(swap.place, run);
  await assertPermits(target, { only, samples: state.samples ?? [] }, run);
  await assertTakes(target, state, run);
  state = await makeRoom(swap, { target, state, turn: 0 }, run);
  const { hasLog, pointMs, streamDatabase } = state;
  const commands = hasLog ? filePieces(files.commands, run) : undefined;
  const sent = { rdb: files.rdb, commands, streamDatabase, policy: place.expiry, pointMs };
  await withoutEviction(
    target,
    run,
    async () => await (only === undefined ? send(target.client, sent, run) : sendPart(swap, { target, state }, run)),
  );
  return await finish(swap, { target, state }, run);
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
  await using target = await openTarget(swap.place, run);
  await assertPermits(target, { only }, run);
  const rdb = state.kept[turn - 1] === true ? files.kept(turn - 1) : undefined;
  if (rdb !== undefined) await assertTakes(target, needsOf(await checkRdb(rdb, run)), run);
  state = await makeRoom(swap, { target, state, turn }, run);
  const { client } = target;
  await withoutEviction(target, run, async () => {
    if (rdb === undefined) return;
    if (only === undefined) {
      const path = files.keptCommands(turn - 1);
      const to = await keptCommandsEnd(path, run);
      const commands = to === 0 ? undefined : filePieces(path, run, { to });
      await send(client, { rdb, commands, streamDatabase: 0, policy: 'absolute', pointMs: 0 }, run);
    } else {
      const pipeline = new Pipeline(client);
      await loadRdb({ path: rdb, pipeline, expiry: undefined, fieldShiftMs: 0, only: compileKeyPatterns(only) }, run);
      await pipeline.settle();
    }
  });
  return await finish(swap, { target, state }, run);
}

type Replacing = { readonly target: ServerTarget; readonly state: RestoreState };

/** Removes what is there, and keeps it unless this restore has put it there itself. @throws RESTORE_CONFLICT, with nothing removed */
async function makeRoom(
  swap: ServerSwap,
  { target, state, turn }: Replacing & { readonly turn: number },
  run: Run,
): Promise<RestoreState> {
  const { only, runtime } = swap;
  const { clock } = runtime;
  const { client, runId, shown } = target;
  const isOurs = state.phase === 'replacing' && (await holdsOurs(target, state, run));
  const there = isOurs ? undefined : await contentOf(client, only, run);
  if (there !== undefined && !swap.replace) throw notEmpty(shown, there, state.phase === 'replacing');
  await using content = there === undefined ? undefined : await keep(swap, { target, state, turn }, run);
  await content?.reach(await offsetOf(client, run), run);
  const mark = state.server?.mark ?? `tidemark:restoring:${Buffer.from(runtime.random(8)).toString('hex')}`;
  // Where nothing is there now, and another server had something before, that stays what an undo puts back.
  const isKept = there !== undefined || (state.phase === 'replacing' && state.kept[turn] === true);
  const kept = { ...state.kept, [turn]: isKept };
  const replacing = { ...state, phase: 'replacing', turn, kept } as const;
  await saveState(withRandom(swap), { ...replacing, server: { runId: isOurs ? runId : '', mark } }, run);
  await client.call(['SELECT', '0'], run);
  if (only === undefined && (isOurs || there !== undefined)) await removeAll(client, { mark, clock }, run);
  await content?.reach(await offsetOf(client, run), run);
  await client.call(['SET', mark, ''], run);
  if (only !== undefined) await removeMatching(client, { only, except: mark }, run);
  return await saveState(withRandom(swap), { ...replacing, server: { runId, mark } }, run);
}

/** Whether it is the server of which this restore has removed what was there, and not another one at its address. */
async function holdsOurs({ client, runId }: ServerTarget, { server }: RestoreState, run: Run): Promise<boolean> {
  if (server === undefined) return false;
  if (runId !== '' && runId === server.runId) return true;
  await client.call(['SELECT', '0'], run);
  return (await client.call(['EXISTS', server.mark], run)) === 1;
}

/** What was kept of another server that was at this address stays on this host until the restore is discarded. */
async function keep(
  { files, runtime: { clock } }: ServerSwap,
  { target, state, turn }: Replacing & { readonly turn: number },
  run: Run,
): Promise<KeptContent> {
  const [rdb, commands] = [files.kept(turn), files.keptCommands(turn)];
  if (state.phase === 'replacing' && state.kept[turn] === true && existsSync(rdb)) {
    const earlier = `earlier-${clock.nowMs()}`;
    for (const path of [rdb, commands]) if (existsSync(path)) await rename(path, `${path}.${earlier}`);
  }
  return await KeptContent.begin({ server: target.server, clock, rdb, commands }, run);
}

async function finish(swap: ServerSwap, { target: { client }, state }: Replacing, run: Run): Promise<Kept> {
  const { mark } = must(state.server, 'a server that is being replaced');
  // What was sent may have exchanged databases.
  for (const { index } of await databasesOf(client, run)) {
    await client.call(['SELECT', String(index)], run);
    await client.call(['DEL', mark], run);
  }
  return keptOf(swap.files, await saveState(withRandom(swap), { ...state, phase: 'done', server: undefined }, run));
}

async function offsetOf(client: RedisClient, run: Run): Promise<bigint> {
  return BigInt((await infoOf(client, 'replication', run)).get('master_repl_offset') ?? 0);
}

function needsOf({ version, highestDatabase, largestBytes }: StagedFacts): Needs {
  return { rdbVersion: version, databases: highestDatabase + 1, largestBytes };
}

function keptOf(files: WorkFiles, { kept, turn }: RestoreState): Kept {
  return kept[turn] === true ? { keptAside: files.kept(turn) } : {};
}

function withRandom({ files, runtime: { random } }: ServerSwap): Parameters<typeof saveState>[0] {
  return { files, random };
}

type Sent = {
  readonly rdb: string;
  /** That follow it, from this database on. */
  readonly commands: AsyncIterable<Uint8Array> | undefined;
  readonly streamDatabase: number;
  readonly policy: RedisPlace['expiry'];
  readonly pointMs: number;
};

/** All of it, to a server that is empty. */
async function send(
  client: RedisClient,
  { rdb, commands, streamDatabase, policy, pointMs }: Sent,
  run: Run,
): Promise<void> {
  const nowMs = await timeOf(client, run);
  const fieldShiftMs = shiftOf(policy, pointMs, nowMs);
  const expiry = planExpiry({ policy, pointMs, nowMs, hasLog: commands !== undefined });
  const pipeline = new Pipeline(client);
  await loadRdb({ path: rdb, pipeline, expiry: expiry.map, fieldShiftMs }, run);
  await pipeline.settle();
  if (commands === undefined) return;
  await client.call(['SELECT', String(streamDatabase)], run);
  for await (const batch of readCommands(commands)) {
    await pipeline.send(effectiveCommands(batch, expiry.map), run);
  }
  await pipeline.settle();
  await unparkKeys(client, (atMs, endMs) => expiry.unpark(atMs, endMs), run);
}

/** The keys that --only means, to a server that holds none of them. */
async function sendPart({ place, files, only }: ServerSwap, { target, state }: Replacing, run: Run): Promise<void> {
  const { client } = target;
  const { pointMs, hasLog } = state;
  const nowMs = await timeOf(client, run);
  const shiftMs = shiftOf(place.expiry, pointMs, nowMs);
  const expiry = hasLog
    ? chosenExpiry(shiftMs)
    : planExpiry({ policy: place.expiry, pointMs, nowMs, hasLog: false }).map;
  const path = hasLog ? files.chosen : files.rdb;
  const fieldShiftMs = hasLog ? chosenExpiry(shiftMs)(0) : shiftMs;
  const pipeline = new Pipeline(client);
  await loadRdb({ path, pipeline, expiry, fieldShiftMs, only: compileKeyPatterns(only ?? []) }, run);
  await pipeline.settle();
}

/** A server at its limit of memory may drop keys to make room for others. @throws RESTORE_FAILED when it did */
async function withoutEviction({ client, shown }: ServerTarget, run: Run, work: () => Promise<void>): Promise<void> {
  const evicted = async (): Promise<string | undefined> => (await infoOf(client, 'stats', run)).get('evicted_keys');
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

function notEmpty(shown: string, there: string, isAnother: boolean): TidemarkError {
  const why = isAnother ? ', and nothing shows that it is the server that was being restored into' : '';
  return new TidemarkError('RESTORE_CONFLICT', `${shown} is not empty: it holds ${there}${why}`, {
    hint: 'Name the store in --replace to have it replaced, which keeps what it holds; or send it elsewhere with --into STORE=URL.',
  });
}
