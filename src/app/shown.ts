import { isUtf8 } from 'node:buffer';
import { nameText } from '../core/byte-name.ts';
import type { ListedEntry } from '../core/connector.ts';
import { writeDuration } from '../core/units.ts';
import { markState } from '../repository/mark.ts';
import type { Mark } from '../repository/mark.ts';
import type { WrittenBase } from '../repository/writer.ts';
import type { Exactness } from '../core/position.ts';
import type { BackupStoreResult, ListedResult, MarkResult, ShownName } from './results.ts';

const SLASH = 0x2f;
/** A second, a minute, an hour, a day. */
const AGE_UNITS_MS = [1_000, 60_000, 3_600_000, 86_400_000] as const;
/** Farthest from 1970 that a date can be. */
const MOST_DATE_MS = 8.64e15;

/** A stored name as scripts see it: components joined by `/`; where it is not UTF-8, with `\xHH` as the command line takes it. */
export function shownName(name: Uint8Array): ShownName {
  const path = Buffer.from(name);
  for (let at = path.indexOf(0); at >= 0; at = path.indexOf(0, at)) path[at] = SLASH;
  return isUtf8(path) ? { name: path.toString('utf8') } : { name: nameText(path), nameBase64: path.toString('base64') };
}

export function listedResult({ name, type, sizeBytes, mode, mtimeNs, target }: ListedEntry): ListedResult {
  return {
    ...shownName(name),
    type,
    size: sizeBytes,
    ...(mode === undefined ? {} : { mode: mode & 0o7777 }),
    ...(mtimeNs === undefined ? {} : { mtime: isoTime(Number(mtimeNs / 1_000_000n)) }),
    ...(target === undefined ? {} : { target: nameText(target) }),
  };
}

/** ISO 8601 in UTC with milliseconds; a time beyond what a date can be is shown as the last or first one. */
export function isoTime(atMs: number): string {
  return new Date(Math.min(Math.max(atMs, -MOST_DATE_MS), MOST_DATE_MS)).toISOString();
}

/** `45s`, `90m`, `30h`, `12d`: whole units, at least two of them. */
export function ageText(ageMs: number): string {
  const unitMs = AGE_UNITS_MS.findLast((size) => ageMs >= 2 * size) ?? AGE_UNITS_MS[0];
  return writeDuration(Math.max(0, Math.floor(ageMs / unitMs)) * unitMs);
}

export function markResult(mark: Mark, pinned: boolean): MarkResult {
  const { id, name, tags, skewMs, missing } = mark;
  return {
    id,
    ...(name === undefined ? {} : { name }),
    tags,
    class: mark.class,
    at: isoTime(mark.atMs),
    skewMs,
    state: markState(mark),
    partial: missing,
    pinned,
  };
}

/** What was stored of one store. */
export function baseResult(
  { store, base, exact }: { readonly store: string; readonly base: WrittenBase; readonly exact: Exactness },
  { dryRun }: { readonly dryRun: boolean },
): BackupStoreResult {
  const { stored } = base;
  return {
    store,
    ...(dryRun ? {} : { base: base.key }),
    position: base.cut,
    exact,
    entries: stored.entries,
    bytes: stored.bytes,
    newBytes: stored.newBytes,
    storedBytes: stored.storedBytes,
    skipped: stored.end.skipped.map((item) => ({
      ...shownName(item.name),
      reason: item.reason,
      incomplete: item.incomplete,
      message: item.message,
    })),
    skippedCount: stored.end.skippedCount,
    incompleteCount: stored.end.incompleteCount,
  };
}
