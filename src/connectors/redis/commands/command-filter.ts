import type { CommandRun } from '../pipeline.ts';
import { movePayload } from '../rdb/moved-payload.ts';
import { encodeCommand } from '../resp.ts';
import { quoted } from '../../../core/printable.ts';
import { argumentsOf, commandName } from './command-reader.ts';
import type { CommandBatch } from './command-reader.ts';

/** When a key expires instead, in milliseconds since 1970. */
export type ExpiryMap = (expiresAtMs: number) => number;

/** `map`: of keys. `fieldShiftMs`: how much later fields of hashes expire. */
export type MovedExpiry = { readonly map: ExpiryMap; readonly fieldShiftMs: number };

/** They keep the link alive, tell of slots, or reach only who listens at that moment: nothing that is stored. */
const DROPPED: ReadonlySet<string> = new Set(['', 'PING', 'REPLCONF', 'PUBLISH', 'SPUBLISH', 'CLUSTER']);

/** Where the expiry stands, and in which unit, by command. */
const EXPIRIES: ReadonlyMap<string, { readonly unitMs: number; readonly inMs: string }> = new Map([
  ['PEXPIREAT', { unitMs: 1, inMs: 'PEXPIREAT' }],
  ['EXPIREAT', { unitMs: 1000, inMs: 'PEXPIREAT' }],
  ['HPEXPIREAT', { unitMs: 1, inMs: 'HPEXPIREAT' }],
  ['HEXPIREAT', { unitMs: 1000, inMs: 'HPEXPIREAT' }],
]);

/** Those whose expiry is an option, with where options begin; of MSETEX so many pairs later. */
const OPTIONS_FROM: ReadonlyMap<string, number> = new Map([
  ['SET', 3],
  ['GETEX', 2],
  ['HGETEX', 2],
  ['HSETEX', 2],
  ['MSETEX', 2],
]);

/** Options of SET whose value may look like one. */
const COMPARISONS: ReadonlySet<string> = new Set(['IFEQ', 'IFNE', 'IFDEQ', 'IFDNE']);

const OF_FIELDS: ReadonlySet<string> = new Set(['HPEXPIREAT', 'HEXPIREAT', 'HGETEX', 'HSETEX']);
/** What Redis takes for a field; Valkey takes more. */
const MOST_FIELD_MS = 2 ** 46 - 1;
/** They bring a value as DUMP gives it. */
const RESTORES: ReadonlySet<string> = new Set(['RESTORE', 'RESTORE-ASKING']);
/** Of an approximate trimming a server makes an exact one for its replicas, and leaves its LIMIT, which nobody but a replica may say then. */
const TRIMS: ReadonlySet<string> = new Set(['XADD', 'XTRIM']);
const TRIM_FROM = 2;
const TRIM_FLAGS: ReadonlySet<string> = new Set(['NOMKSTREAM', 'KEEPREF', 'DELREF', 'ACKED']);
const LONGEST_NAME = 14;

/**
 * The commands that change something, with their expiries mapped; all others as they came, as views. `describe` keeps the batch.
 */
export function effectiveCommands(batch: CommandBatch, expiry: MovedExpiry | undefined): CommandRun {
  const { bytes, starts } = batch;
  const pieces: Uint8Array[] = [];
  /** Which of the batch's commands are sent; undefined while that is all of them. */
  let sent: number[] | undefined;
  let from = 0;
  for (const [index, start] of starts.entries()) {
    const name = shortName(bytes, start);
    if (name === undefined) {
      sent?.push(index);
      continue;
    }
    const isDropped = DROPPED.has(name);
    const changed = isDropped ? undefined : changedCommand(name, bytes, start, expiry);
    if (!isDropped && changed === undefined) {
      sent?.push(index);
      continue;
    }
    if (start > from) pieces.push(bytes.subarray(from, start));
    from = starts[index + 1] ?? bytes.byteLength;
    if (changed !== undefined) {
      pieces.push(changed);
      sent?.push(index);
    } else {
      sent ??= Array.from({ length: index }, (_, before) => before);
    }
  }
  if (bytes.byteLength > from) pieces.push(bytes.subarray(from));
  return {
    bytes: pieces,
    count: sent?.length ?? starts.length,
    describe: (index) => describeCommand(batch, sent?.[index] ?? index),
  };
}

/** Undefined where nothing is to be done about the command, which is seen without reading it where possible. */
function shortName(bytes: Buffer, start: number): string | undefined {
  // "*3\r\n$3\r\n": a command with one digit of arguments and of letters, as nearly all are.
  if (bytes[start] === 0x2a && bytes[start + 2] === 0x0d && bytes[start + 4] === 0x24 && bytes[start + 6] === 0x0d) {
    const letter = (bytes[start + 8] ?? 0) & 0xdf;
    // As that of all that are dropped or changed.
    if (!isFirstLetter(letter)) return undefined;
    const letters = (bytes[start + 5] ?? 0) - 0x30;
    if (letter === S && letters === 3 && (bytes[start + 1] ?? 0) <= 0x33) return undefined;
    const name = bytes.toString('latin1', start + 8, start + 8 + letters).toUpperCase();
    return isConcerned(name) ? name : undefined;
  }
  const name = commandName(bytes, start);
  return name.length <= LONGEST_NAME && isConcerned(name) ? name : undefined;
}

const [P, S, R, H, E, G, M, C, X] = [0x50, 0x53, 0x52, 0x48, 0x45, 0x47, 0x4d, 0x43, 0x58];

function isFirstLetter(letter: number): boolean {
  if (letter === P || letter === S || letter === R || letter === H) return true;
  return letter === E || letter === G || letter === M || letter === C || letter === X;
}

function isConcerned(name: string): boolean {
  return DROPPED.has(name) || EXPIRIES.has(name) || OPTIONS_FROM.has(name) || RESTORES.has(name) || TRIMS.has(name);
}

/** Undefined where it stays as it came. */
function changedCommand(
  name: string,
  bytes: Buffer,
  start: number,
  expiry: MovedExpiry | undefined,
): Uint8Array | undefined {
  if (TRIMS.has(name)) return withoutLimit(bytes, start);
  return expiry === undefined ? undefined : mapExpiry(name, bytes, start, expiry);
}

/** `XADD key MAXLEN = threshold LIMIT count id …`: without the limit. The threshold says already how much was trimmed. */
function withoutLimit(bytes: Buffer, start: number): Uint8Array | undefined {
  const args = argumentsOf(bytes, start);
  for (let at = TRIM_FROM; ; ) {
    const option = textOf(args[at]).toUpperCase();
    if (option === 'LIMIT') return encodeCommand(args.toSpliced(at, 2));
    if (option === 'MAXLEN' || option === 'MINID') at += /^[=~]$/.test(textOf(args[at + 1])) ? 3 : 2;
    else if (TRIM_FLAGS.has(option)) at += 1;
    else return undefined;
  }
}

function mapExpiry(name: string, bytes: Buffer, start: number, moved: MovedExpiry): Uint8Array | undefined {
  const expiry = OF_FIELDS.has(name) ? (atMs: number) => laterField(atMs, moved.fieldShiftMs) : moved.map;
  const args: (Uint8Array | string)[] = [...argumentsOf(bytes, start)];
  const at = EXPIRIES.get(name);
  if (at !== undefined) {
    args[0] = at.inMs;
    args[2] = String(expiry(Number(textOf(args[2])) * at.unitMs));
    return encodeCommand(args);
  }
  if (RESTORES.has(name)) return mapRestore(args, moved);
  const from = (OPTIONS_FROM.get(name) ?? 0) + (name === 'MSETEX' ? 2 * Number(textOf(args[1])) : 0);
  for (let index = from; index + 1 < args.length; index += 1) {
    const option = textOf(args[index]).toUpperCase();
    if (option === 'FIELDS') return undefined;
    if (COMPARISONS.has(option)) index += 1;
    if (option !== 'PXAT' && option !== 'EXAT') continue;
    args[index] = 'PXAT';
    args[index + 1] = String(expiry(Number(textOf(args[index + 1])) * (option === 'EXAT' ? 1000 : 1)));
    return encodeCommand(args);
  }
  return undefined;
}

/** `RESTORE key ttl payload …`: the key expires, and fields of a hash in the payload. */
function mapRestore(args: readonly (Uint8Array | string)[], moved: MovedExpiry): Uint8Array | undefined {
  const [name = '', key = '', ttl = '', payload = '', ...options] = args;
  const isMoved = Number(textOf(ttl)) > 0 && options.some((option) => textOf(option).toUpperCase() === 'ABSTTL');
  const movedPayload = typeof payload === 'string' ? undefined : movePayload(payload, moved.fieldShiftMs);
  if (!isMoved && movedPayload === undefined) return undefined;
  const at = isMoved ? String(moved.map(Number(textOf(ttl)))) : ttl;
  return encodeCommand([name, key, at, movedPayload ?? payload, ...options]);
}

function laterField(atMs: number, shiftMs: number): number {
  return Math.min(atMs + shiftMs, Math.max(atMs, MOST_FIELD_MS));
}

function textOf(arg: Uint8Array | string | undefined): string {
  return typeof arg === 'string' ? arg : Buffer.from(arg?.subarray(0, 32) ?? []).toString('latin1');
}

function describeCommand({ bytes, starts }: CommandBatch, index: number): string {
  const [name, key] = argumentsOf(bytes, starts[index] ?? 0);
  const about = key === undefined ? '' : ` of ${quoted(key.toString())}`;
  return `the command ${name?.toString('latin1').toUpperCase() ?? ''}${about}`;
}
