import { constants } from 'node:fs';
import type { FileStatus } from '../../io/native-folder.ts';

const VERSION = 1;
const STATE_BYTES = 37;
const state = new Uint8Array(STATE_BYTES);
const stateView = new DataView(state.buffer);
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
export function fingerprintOf(status: FileStatus, trust: TimeTrust): Uint8Array | undefined {
  return isTrusted(status, trust) ? stateOf(status) : undefined;
}

/** Whether a change after the scan's start would show in the times. */
export function isTrusted({ mtimeNs, ctimeNs }: FileStatus, trust: TimeTrust): boolean {
  return latest(mtimeNs, ctimeNs) <= trust.scanStartNs - marginNs(mtimeNs, ctimeNs, trust.remote);
}

/**
 * What a fingerprint is made of, trusted or not. Of times the lower 64 bits: two that look the same are 584 years apart, and whoever sets a
 * file from one to the other changes its time of change.
 */
export function stateOf({ sizeBytes, mtimeNs, ctimeNs, inode, mode }: FileStatus): Buffer {
  stateView.setUint8(0, VERSION);
  stateView.setBigInt64(1, BigInt(sizeBytes), true);
  stateView.setBigInt64(9, mtimeNs, true);
  stateView.setBigInt64(17, ctimeNs, true);
  stateView.setBigUint64(25, inode, true);
  stateView.setUint32(33, mode, true);
  return Buffer.from(state);
}

/** `S_IFREG` and the like. */
export function typeOfStatus({ mode }: FileStatus): number {
  return mode & constants.S_IFMT;
}

/** As `typeOfStatus`, of what a state is of; of an empty state 0. */
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
