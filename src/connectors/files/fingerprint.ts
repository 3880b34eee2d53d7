import { constants } from 'node:fs';
import type { BigIntStats } from 'node:fs';

const VERSION = 1;
const STATE_BYTES = 37;
const NS_PER_SECOND = 1_000_000_000n;
const NS_PER_MS = 1_000_000n;

/**
 * How far a time must lie before the scan's start to be trusted. The kernel stamps files with a clock that moves in steps of up to 10 ms.
 * A time of whole seconds, as FAT, old ext3 and some servers write it, may stand for a tick of two seconds. On a network file system the
 * server's clock stamps, and it may be behind ours.
 */
const MARGIN_NS = 100n * NS_PER_MS;
const WHOLE_SECONDS_MARGIN_NS = 2n * NS_PER_SECOND + MARGIN_NS;
const REMOTE_MARGIN_NS = 60n * NS_PER_SECOND;

export type TimeTrust = { readonly scanStartNs: bigint; readonly remote: boolean };

/**
 * What a file is recognized by at the next base: size, times of content and of change, inode, type and mode. The time of change covers
 * owner, extended attributes and number of links. The device's number is left out, because a reboot may change it.
 *
 * Undefined when a later change could bear the same times as what is read now: a file changed, read and changed again within one tick of
 * its file system's clock looks the same to the next scan. So a file counts as recognizable only when both times lie clearly before the
 * scan's start, that is, when a change after it must get another time. In doubt it is read again, which costs time only.
 */
export function fingerprintOf(stats: BigIntStats, trust: TimeTrust): Uint8Array | undefined {
  return isTrusted(stats, trust) ? stateOf(stats) : undefined;
}

/** Whether a change after the scan's start would show in the times. */
export function isTrusted({ mtimeNs, ctimeNs }: BigIntStats, trust: TimeTrust): boolean {
  return latest(mtimeNs, ctimeNs) <= trust.scanStartNs - marginNs(mtimeNs, ctimeNs, trust.remote);
}

/** What a fingerprint is made of, trusted or not. */
export function stateOf(stats: BigIntStats): Buffer {
  const { mtimeNs, ctimeNs } = stats;
  const bytes = Buffer.allocUnsafe(STATE_BYTES);
  bytes[0] = VERSION;
  bytes.writeBigInt64LE(stats.size, 1);
  bytes.writeBigInt64LE(BigInt.asIntN(64, mtimeNs), 9);
  bytes.writeBigInt64LE(BigInt.asIntN(64, ctimeNs), 17);
  bytes.writeBigUInt64LE(BigInt.asUintN(64, stats.ino), 25);
  bytes.writeUInt32LE(Number(stats.mode), 33);
  return bytes;
}

/** `S_IFREG` and the like. */
export function typeOfStats({ mode }: BigIntStats): number {
  return Number(mode) & constants.S_IFMT;
}

/** As `typeOfStats`, of what a state is of; of an empty state 0. */
export function typeIn(state: Uint8Array): number {
  return state.byteLength < STATE_BYTES
    ? 0
    : new DataView(state.buffer, state.byteOffset).getUint32(33, true) & constants.S_IFMT;
}

/** The inode of what a state is of; undefined of an empty state. */
export function inodeIn(state: Uint8Array): bigint | undefined {
  return state.byteLength < STATE_BYTES
    ? undefined
    : new DataView(state.buffer, state.byteOffset).getBigUint64(25, true);
}

function marginNs(mtimeNs: bigint, ctimeNs: bigint, remote: boolean): bigint {
  if (remote) return REMOTE_MARGIN_NS;
  const wholeSeconds = mtimeNs % NS_PER_SECOND === 0n && ctimeNs % NS_PER_SECOND === 0n;
  return wholeSeconds ? WHOLE_SECONDS_MARGIN_NS : MARGIN_NS;
}

function latest(left: bigint, right: bigint): bigint {
  return left > right ? left : right;
}
