import type { MarkRecord } from './catalogue.ts';
import { markState } from './mark.ts';

/** How long marks stay. Counts are of the newest hours, days, weeks and months that have a mark; each history has its own. */
export type RetentionPolicy = {
  readonly windowMs: number;
  readonly last: number;
  readonly hourly: number;
  readonly daily: number;
  readonly weekly: number;
  readonly monthly: number;
};

export type KeepReason =
  | 'recent'
  | 'window'
  | 'last'
  | 'hourly'
  | 'daily'
  | 'weekly'
  | 'monthly'
  | 'named'
  | 'sealed'
  | 'pinned'
  | 'newest base'
  | 'proven base';

export type Selection = {
  /** By mark id, with every reason. */
  readonly kept: ReadonlyMap<string, readonly KeepReason[]>;
  readonly forgotten: readonly MarkRecord[];
};

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
/** As far as the window goes, all marks younger than this stay. */
const RECENT_MS = 48 * HOUR_MS;
const DAY_MS = 86_400_000;

type Bucket = 'hourly' | 'daily' | 'weekly' | 'monthly';
const buckets: readonly Bucket[] = ['hourly', 'daily', 'weekly', 'monthly'];

type SelectOptions = {
  readonly marks: readonly MarkRecord[];
  readonly policy: RetentionPolicy;
  readonly timezone: string;
  readonly keptBases: ReadonlyMap<string, 'newest base' | 'proven base'>;
};

/**
 * Decides which marks stay. Age counts back from the newest complete mark, so that no clock of this host decides. `marks` ascend by time;
 * `keptBases` are manifests that must not lose their last mark, with the reason. What stays without those that their writer may take back stays with
 * them as well.
 */
export function selectMarks(options: SelectOptions): Selection {
  const { marks } = options;
  const kept = new Map<string, KeepReason[]>();
  const keep = (record: MarkRecord, reason: KeepReason): void => {
    const reasons = kept.get(record.mark.id) ?? [];
    if (!reasons.includes(reason)) kept.set(record.mark.id, [...reasons, reason]);
  };
  keepAmong(options, keep);
  const sure = marks.filter(({ isConfirmed }) => isConfirmed);
  if (sure.length < marks.length) keepAmong({ ...options, marks: sure }, keep);
  const reasons = marks.flatMap(({ mark: { id } }) => {
    const found = kept.get(id);
    return found === undefined ? [] : [[id, found] as const];
  });
  return { kept: new Map(reasons), forgotten: marks.filter(({ mark }) => !kept.has(mark.id)) };
}

type Keep = (record: MarkRecord, reason: KeepReason) => void;

function keepAmong({ marks, policy, timezone, keptBases }: SelectOptions, keep: Keep): void {
  const complete = marks.filter(({ mark }) => markState(mark) === 'complete');
  const nowMs = complete.at(-1)?.mark.atMs ?? marks.at(-1)?.mark.atMs ?? 0;
  for (const record of marks) keepBySelf(record, keep);
  keepByAge({ marks, nowMs, windowMs: policy.windowMs }, keep);
  keepByTurn({ complete, policy, calendar: calendarOf(timezone) }, keep);
  keepForBases({ marks, keptBases }, keep);
}

function keepBySelf(record: MarkRecord, keep: Keep): void {
  if (record.pinned) keep(record, 'pinned');
  if (record.mark.name !== undefined) keep(record, 'named');
  if (record.mark.class === 'sealed') keep(record, 'sealed');
}

function keepByAge(
  { marks, nowMs, windowMs }: { marks: readonly MarkRecord[]; nowMs: number; windowMs: number },
  keep: Keep,
): void {
  const lastMinutes = new Map<string, number>();
  for (const record of marks.toReversed()) {
    const ageMs = nowMs - record.mark.atMs;
    if (ageMs > windowMs) return;
    if (ageMs <= RECENT_MS) {
      keep(record, 'recent');
      continue;
    }
    const minute = Math.floor(record.mark.atMs / MINUTE_MS);
    const histories = Object.keys(record.mark.positions);
    if (histories.some((history) => lastMinutes.get(history) !== minute)) keep(record, 'window');
    for (const history of histories) lastMinutes.set(history, minute);
  }
}

type Calendar = (atMs: number) => Readonly<Record<Bucket, string>>;

/** Hosts that back up different stores take no places from each other: each history has its own. */
function keepByTurn(
  {
    complete,
    policy,
    calendar,
  }: { readonly complete: readonly MarkRecord[]; readonly policy: RetentionPolicy; readonly calendar: Calendar },
  keep: Keep,
): void {
  const turns = new Map<string, { count: number; readonly seen: Readonly<Record<Bucket, Set<string>>> }>();
  for (const record of complete.toReversed()) {
    let names: Readonly<Record<Bucket, string>> | undefined;
    for (const history of Object.keys(record.mark.positions)) {
      const turn = turns.get(history) ?? {
        count: 0,
        seen: { hourly: new Set(), daily: new Set(), weekly: new Set(), monthly: new Set() },
      };
      turns.set(history, turn);
      if (turn.count < policy.last) keep(record, 'last');
      turn.count++;
      for (const bucket of buckets) {
        const seen = turn.seen[bucket];
        if (seen.size >= policy[bucket]) continue;
        names ??= calendar(record.mark.atMs);
        if (seen.has(names[bucket])) continue;
        seen.add(names[bucket]);
        keep(record, bucket);
      }
    }
  }
}

/** Of each base the newest mark. */
function keepForBases(
  {
    marks,
    keptBases,
  }: { readonly marks: readonly MarkRecord[]; readonly keptBases: ReadonlyMap<string, 'newest base' | 'proven base'> },
  keep: Keep,
): void {
  const left = new Map(keptBases);
  for (const record of marks.toReversed()) {
    for (const base of record.standsOn.values()) {
      const reason = left.get(base);
      if (reason !== undefined) keep(record, reason);
      left.delete(base);
    }
  }
}

/** Names of the hour, day, ISO week and month that a time lies in, in a zone. */
function calendarOf(timezone: string): Calendar {
  const format = new Intl.DateTimeFormat('en-CA', {
    timeZone: timezone,
    year: 'numeric',
    month: '2-digit',
    day: '2-digit',
    hour: '2-digit',
    minute: '2-digit',
    hourCycle: 'h23',
  });
  return (atMs) => {
    const parts = Object.fromEntries(format.formatToParts(atMs).map(({ type, value }) => [type, value]));
    const { year = '', month = '', day = '', hour = '', minute = '' } = parts;
    const date = `${year}-${month}-${day}`;
    const dayMs = Date.UTC(Number(year), Number(month) - 1, Number(day));
    // An hour that happens twice is two hours: the offset from UTC, to the minute, tells them apart.
    const wallMs = dayMs + Number(hour) * HOUR_MS + Number(minute) * MINUTE_MS;
    const offset = Math.round((wallMs - Math.floor(atMs / MINUTE_MS) * MINUTE_MS) / MINUTE_MS);
    return {
      hourly: `${date}T${hour}/${offset}`,
      daily: date,
      weekly: isoWeek(dayMs),
      monthly: `${year}-${month}`,
    };
  };
}

/** A week begins on Monday; its name is its Thursday's day count. */
function isoWeek(dayMs: number): string {
  const days = Math.floor(dayMs / DAY_MS);
  const weekday = (((days + 3) % 7) + 7) % 7;
  return String(days - weekday + 3);
}
