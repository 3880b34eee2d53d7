import { previousOccurrence } from '../core/cron-times.ts';
import { isTidemarkError } from '../core/errors.ts';
import type { Run } from '../core/run.ts';
import type { Configuration } from '../config/configuration.ts';
import type { RepositoryAccess } from '../repository/access.ts';
import { newestBase } from '../repository/catalogue.ts';
import type { Catalogue } from '../repository/catalogue.ts';
import { baseAtMs } from '../repository/base-order.ts';
import { historyGaps } from '../repository/history-spans.ts';
import type { HistoryGap, HistorySpan } from '../repository/history-spans.ts';
import { knownDamage } from '../repository/known-damage.ts';
import { markState } from '../repository/mark.ts';
import type { Head } from '../repository/records/heads.ts';
import type { OpenApplication } from './application.ts';
import { OLD_PROOF_MS } from './doctor/bases.ts';
import { marksOf } from './mark-stores.ts';
import { foundDamage } from './found-damage.ts';
import { refuseOtherRestores } from './restore-place.ts';
import type { AlarmResult } from './results.ts';
import { lostHeads, rolledBack } from './rollback.ts';
import { ageText, isoTime } from './shown.ts';

const DAY_MS = 24 * 3_600_000;
/** So long somebody may hear of a gap that is over. */
const GAP_TOLD_MS = DAY_MS;
const MOST_DAMAGE = 20;

export type Watched = {
  readonly access: RepositoryAccess;
  readonly catalogue: Catalogue;
  readonly configuration: Configuration | undefined;
  /** What this host has seen earlier. */
  readonly remembered: readonly Head[];
  readonly stores: readonly { readonly store: string; readonly spans: readonly HistorySpan[] }[];
  /** The object store's. */
  readonly nowMs: number;
  /** False where the key at hand does not open proofs, and does not tell what a base needs. */
  readonly knowsProofs: boolean;
};

/** What a repository says that somebody has to act on, the most serious first. */
export function repositoryAlarms(watched: Watched): readonly AlarmResult[] {
  return [
    ...damageAlarms(watched),
    ...verifiedAlarms(watched),
    ...markAlarms(watched),
    ...watched.stores.flatMap((of) => [...gapAlarms(watched, of), ...baseAlarms(watched, of.store)]),
  ];
}

function damageAlarms({ catalogue, remembered }: Watched): readonly AlarmResult[] {
  const alarms = [...lostHeads(catalogue, remembered).map(rolledBack), ...catalogue.findings].map(
    ({ code, message, hint }): AlarmResult => ({ code, message, hint }),
  );
  const more = alarms.length - MOST_DAMAGE;
  if (more <= 0) return alarms;
  const hint = '`tidemark verify` names all of it.';
  return [
    ...alarms.slice(0, MOST_DAMAGE),
    { code: 'REPOSITORY_DAMAGED', message: `and ${more} more findings of damage`, hint },
  ];
}

function verifiedAlarms({ access, catalogue, knowsProofs }: Watched): readonly AlarmResult[] {
  return foundDamage({ catalogue, damage: knownDamage(access, catalogue), knowsNeeds: knowsProofs });
}

function markAlarms({ catalogue, configuration, nowMs }: Watched): readonly AlarmResult[] {
  const own = marksOf(catalogue.marks, configuration?.stores.map(({ name }) => name) ?? []);
  const newest = own.findLast(({ mark }) => markState(mark) === 'complete');
  if (newest === undefined) {
    const message = 'there is no complete mark: nothing can be restored together';
    return [{ code: 'NO_MARK', message, hint: 'Take one with `tidemark backup`.' }];
  }
  if (newest.mark.atMs >= lateBeforeMs(configuration, nowMs)) return [];
  const ageMs = nowMs - newest.mark.atMs;
  const message = `the newest complete mark is ${ageText(ageMs)} old`;
  const hint = 'Start `tidemark up`, or run `tidemark backup`; `tidemark runs` tells why earlier ones failed.';
  return [{ code: 'OLD_MARK', message, hint }];
}

/** A mark that is older than the base before the last one that was due has been missed. */
function lateBeforeMs(configuration: Configuration | undefined, nowMs: number): number {
  if (configuration === undefined) return nowMs - 2 * DAY_MS;
  const { bases, timezone } = configuration;
  const dueMs = previousOccurrence(bases, timezone, nowMs);
  return (dueMs === undefined ? undefined : previousOccurrence(bases, timezone, dueMs - 1)) ?? -Infinity;
}

function gapAlarms({ catalogue, nowMs }: Watched, { store, spans }: Watched['stores'][number]): readonly AlarmResult[] {
  const gap = historyGaps(catalogue, store, spans).at(-1);
  if (gap === undefined || nowMs - (gap.toMs ?? nowMs) > GAP_TOLD_MS) return [];
  return [{ code: 'GAP', store, ...gapText(gap, store) }];
}

function gapText({ fromMs, toMs, reason }: HistoryGap, store: string): Pick<AlarmResult, 'message' | 'hint'> {
  if (toMs === undefined) {
    const hint = `It ends with the next base: \`tidemark up\` takes one by itself, \`tidemark backup ${store}\` at once.`;
    return { message: `nothing of it is recorded since ${isoTime(fromMs)}: ${reason}`, hint };
  }
  return {
    message: `no moment from ${isoTime(fromMs)} to ${isoTime(toMs)} can be restored: ${reason}`,
    hint: `See \`tidemark timeline ${store}\`. This is told for a day after it was over.`,
  };
}

function baseAlarms({ catalogue, nowMs, knowsProofs }: Watched, store: string): readonly AlarmResult[] {
  if (newestBase(catalogue, store) === undefined) {
    const hint = 'Take one with `tidemark backup`.';
    return [{ code: 'NEVER_BACKED_UP', store, message: 'there is no backup of it yet', hint }];
  }
  const bases = catalogue.bases
    .values()
    .filter(({ summary }) => summary.store === store)
    .toArray();
  // A young repository may not have been proven yet.
  const sinceMs = bases.reduce(
    (most, { provenAtMs = 0 }) => Math.max(most, provenAtMs),
    Math.min(...bases.map(baseAtMs)),
  );
  if (!knowsProofs || nowMs - sinceMs <= OLD_PROOF_MS) return [];
  const isProven = bases.some(({ provenAtMs }) => provenAtMs !== undefined);
  const message = isProven
    ? `it is ${ageText(nowMs - sinceMs)} since a backup of it was proven`
    : 'no backup of it was ever read back and proven';
  const hint = 'Prove every byte with `tidemark verify --data`.';
  return [{ code: isProven ? 'OLD_PROOF' : 'NEVER_PROVEN', store, message, hint }];
}

/** That a restore of this host was cut off. One that is at work is none. */
export async function restoreAlarms(application: OpenApplication, run: Run): Promise<readonly AlarmResult[]> {
  try {
    await refuseOtherRestores(application, run);
    return [];
  } catch (error) {
    if (!isTidemarkError(error)) throw error;
    const { code, message, hint } = error;
    return code === 'BUSY' ? [] : [{ code, message, hint }];
  }
}
