import type { Run } from '../../../core/run.ts';
import { must } from '../../../core/must.ts';
import { flushedSlotOf, slotMoveOf } from '../cluster/slot-moves.ts';
import { ownersOf, parseSlotRanges, slotOf } from '../cluster/slots.ts';
import type { SlotRange } from '../cluster/slots.ts';
import { effectiveCommands } from '../commands/command-filter.ts';
import type { MovedExpiry } from '../commands/command-filter.ts';
import { argumentsOf, commandName } from '../commands/command-reader.ts';
import type { CommandBatch } from '../commands/command-reader.ts';
import { ErrorReply } from '../errors.ts';
import { encodeCommand } from '../resp.ts';
import { TidemarkError } from '../../../core/errors.ts';
import { settleAll } from './load-rdb.ts';
import type { Routed } from './load-rdb.ts';
import { removeKeys } from './server-target.ts';
import type { Targets } from './server-target.ts';
import type { SlotClaims } from './slot-claims.ts';
import type { StagedShard } from './work-files.ts';

/*
 * What the shards of a cluster did is done again in the order of the log, each command where its key is now. Shards have no keys in common, but for those that
 * moved from one to another: of these the log has what the source did before what the target did.
 */

/** Where the first key of a command stands that has it not behind its name. All keys of a command are in one slot. */
const KEY_AT: ReadonlyMap<string, number> = new Map([
  ['XGROUP', 2],
  ['BITOP', 2],
  ['LMPOP', 2],
  ['ZMPOP', 2],
  ['MSETEX', 2],
  ['BLMPOP', 3],
  ['BZMPOP', 3],
  ['EVAL', 3],
  ['EVALSHA', 3],
  ['FCALL', 3],
]);

/** They have no key, and change nothing; a transaction's commands are done one by one. */
const PASSED_OVER: ReadonlySet<string> = new Set([
  '',
  'PING',
  'REPLCONF',
  'PUBLISH',
  'SPUBLISH',
  'SELECT',
  'MULTI',
  'EXEC',
]);

/** `CLUSTER` tells of slots that move, or are emptied. */
const KEYLESS: ReadonlySet<string> = new Set(['FUNCTION', 'FLUSHALL', 'FLUSHDB', 'CLUSTER']);

export type SendShards = {
  /** What shards did, in its order. */
  readonly commands: AsyncIterable<{ readonly shard: number; readonly batch: CommandBatch }>;
  /** Who has each slot at that place of the log, as far as it holds keys; it is kept up to date. Undefined: who has it now, by its index. */
  readonly owners: number[] | undefined;
  /** Of what a cluster's log tells. */
  readonly claims?: SlotClaims | undefined;
  readonly targets: Targets;
  readonly into: Routed;
  readonly expiry: MovedExpiry | undefined;
};

/** Who has each slot where the log begins. */
export function slotOwners(shards: readonly StagedShard[]): number[] {
  return [...ownersOf(claimsOf(shards))];
}

/** Sends commands. All are answered when it resolves. @throws RESTORE_FAILED naming what is refused */
export async function sendShards(options: SendShards, run: Run): Promise<void> {
  const { commands, owners, claims, targets, into, expiry } = options;
  for await (const { shard, batch } of commands) {
    let lanes = openLanes(into, batch);
    const flush = async (): Promise<void> => {
      for (const [index, lane] of lanes.entries()) {
        if (lane.starts.length === 0) continue;
        const sent = { ...lane, bytes: Buffer.concat(lane.parts) };
        await must(into.pipelines[index], 'a pipeline').send(effectiveCommands(sent, expiry), run);
      }
      lanes = openLanes(into, batch);
    };
    for (const [index, start] of batch.starts.entries()) {
      const end = batch.starts[index + 1] ?? batch.bytes.byteLength;
      const command = commandAt(batch, start, end);
      if (command.key !== undefined) {
        if (claims?.counts(shard, slotOf(command.key), command.name) === false) continue;
        if (owners !== undefined) owners[slotOf(command.key)] = shard;
        put(must(lanes[targets.routeOf(command.key)], 'where the key goes'), command.bytes);
        continue;
      }
      if (command.name === undefined) continue;
      const args = argumentsOf(batch.bytes, start);
      const flushed = flushedSlotOf(args);
      if (command.name === 'CLUSTER') noteMove(options, shard, args);
      if (command.name === 'CLUSTER' && flushed === undefined) continue;
      await flush();
      await settleAll(into);
      if (command.name === 'FUNCTION') await doFunction(targets, args, run);
      else await removeOwn(options, { shard, slot: flushed }, run);
    }
    await flush();
  }
  await settleAll(into);
}

/** What a shard has, or of it what is in one slot. */
async function removeOwn(
  { owners, targets }: SendShards,
  { shard, slot }: { readonly shard: number; readonly slot: number | undefined },
  run: Run,
): Promise<void> {
  const isMeant = (key: Uint8Array): boolean => {
    const at = slotOf(key);
    return (slot ?? at) === at && (owners === undefined ? targets.routeOf(key) : owners[at]) === shard;
  };
  for (const { client } of targets.all) await removeKeys(client, isMeant, run);
}

/** Of slots that move at once a shard says so itself. */
function noteMove({ claims, owners }: SendShards, shard: number, args: readonly Uint8Array[]): void {
  const move = slotMoveOf(args);
  if (move === undefined || claims === undefined) return;
  for (const slot of claims.note(shard, move)) if (owners !== undefined) owners[slot] = shard;
}

/** By the number of the shard. */
function claimsOf(shards: readonly StagedShard[]): readonly (readonly SlotRange[])[] {
  const numbers = Array.from({ length: 1 + Math.max(...shards.map(({ shard }) => shard)) }, (_, shard) => shard);
  return numbers.map((number) => parseSlotRanges(shards.find(({ shard }) => shard === number)?.slots ?? ''));
}

type Lane = { parts: Uint8Array[]; starts: number[]; sizeBytes: number; readonly at: number; readonly settled: number };

function openLanes({ pipelines }: Routed, { at, settled }: CommandBatch): Lane[] {
  return pipelines.map(() => ({ parts: [], starts: [], sizeBytes: 0, at, settled }));
}

function put(lane: Lane, bytes: Uint8Array): void {
  lane.starts.push(lane.sizeBytes);
  lane.parts.push(bytes);
  lane.sizeBytes += bytes.byteLength;
}

/** `key`: absent where it has none; then `name` is too where nothing is to be done. */
type Command =
  | { readonly name: string; readonly key: Uint8Array; readonly bytes: Uint8Array }
  | { readonly name: string | undefined; readonly key?: undefined; readonly bytes: Uint8Array };

function commandAt(batch: CommandBatch, start: number, end: number): Command {
  const bytes = batch.bytes.subarray(start, end);
  const name = commandName(batch.bytes, start);
  if (PASSED_OVER.has(name)) return { name: undefined, bytes };
  if (KEYLESS.has(name)) return { name, bytes };
  const key = keyAt(batch.bytes, start, KEY_AT.get(name) ?? 1);
  if (key === undefined) {
    throw new TidemarkError('UNSUPPORTED', `the log holds the command ${name}, which has no key`);
  }
  if (name !== 'RESTORE-ASKING') return { name, key, bytes };
  const [, ...words] = argumentsOf(batch.bytes, start);
  // What the target of a migration has is newer than what the source still may have.
  const isReplacing = words.slice(3).some((word) => word.toString('latin1').toUpperCase() === 'REPLACE');
  return { name, key, bytes: encodeCommand(['RESTORE', ...words, ...(isReplacing ? [] : ['REPLACE'])]) };
}

const NEWLINE = 0x0a;

/** An argument, as a view; undefined when there are fewer. */
function keyAt(bytes: Buffer, start: number, index: number): Buffer | undefined {
  let at = bytes.indexOf(NEWLINE, start) + 1;
  const count = Number(bytes.toString('latin1', start + 1, at - 2));
  if (!(index < count)) return undefined;
  for (let skipped = 0; ; skipped += 1) {
    const from = bytes.indexOf(NEWLINE, at) + 1;
    const size = Number(bytes.toString('latin1', at + 1, from - 2));
    if (skipped === index) return bytes.subarray(from, from + size);
    at = from + size + 2;
  }
}

/** Each master of the cluster was given it, and each one tells it again. */
async function doFunction(targets: Targets, [, verb, ...words]: readonly Buffer[], run: Run): Promise<void> {
  const kind = verb?.toString('latin1').toUpperCase() ?? '';
  const command = functionCommand(kind, words);
  for (const { client, shown } of targets.all) {
    const [reply] = await client.send({ bytes: encodeCommand(command), count: 1 }, run);
    if (!(reply instanceof ErrorReply) || (kind === 'DELETE' && /not found/i.test(reply.message))) continue;
    throw new TidemarkError('RESTORE_FAILED', `${shown} refuses FUNCTION ${kind}: ${reply.message}`, { cause: reply });
  }
}

function functionCommand(kind: string, words: readonly Buffer[]): readonly (string | Uint8Array)[] {
  const isReplacing = words.some((word) => word.toString('latin1', 0, 8).toUpperCase() === 'REPLACE');
  if (kind === 'LOAD' && !isReplacing) return ['FUNCTION', 'LOAD', 'REPLACE', ...words];
  if (kind === 'RESTORE') return ['FUNCTION', 'RESTORE', words[0] ?? Buffer.of(), 'REPLACE'];
  return ['FUNCTION', kind, ...words];
}
