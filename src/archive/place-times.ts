import type { Position } from '../core/position.ts';
import type { LogBlock } from './log-queue.ts';

export type Stretch = Pick<LogBlock, 'after' | 'upTo' | 'fromMs' | 'toMs'>;

/** Of more those are joined that are together no longer than this part of how long ago they were. */
const MOST_STRETCHES = 4_096;
const JOINED_PART = 1 / 64;

/** When the places of one lineage's log were passed, by the store's clock. */
export class PlaceTimes {
  #stretches: Stretch[] = [];

  /** What is noted later lies behind, or is a shorter stretch of the same. */
  note({ after, upTo, fromMs, toMs }: Stretch): void {
    this.#stretches.push({ after, upTo, fromMs, toMs });
    if (this.#stretches.length > MOST_STRETCHES) this.#stretches = joined(this.#stretches);
  }

  /** Not later than the first thing that happened after a place. Undefined where nothing that did is known. */
  earliestAfter({ order }: Position): number | undefined {
    const later = this.#stretches.filter(({ upTo }) => upTo.order > order);
    const begun = later.filter(({ after }) => after.order <= order).map(({ fromMs }) => fromMs);
    if (begun.length > 0) return Math.max(...begun);
    return later.length === 0 ? undefined : Math.min(...later.map(({ fromMs }) => fromMs));
  }
}

function joined(stretches: readonly Stretch[]): Stretch[] {
  const newestMs = stretches.at(-1)?.toMs ?? 0;
  const all: Stretch[] = [];
  for (const next of stretches) {
    const last = all.at(-1);
    if (last === undefined || next.toMs - last.fromMs > (newestMs - next.toMs) * JOINED_PART) {
      all.push(next);
      continue;
    }
    all[all.length - 1] = {
      after: last.after,
      upTo: next.upTo.order > last.upTo.order ? next.upTo : last.upTo,
      fromMs: Math.min(last.fromMs, next.fromMs),
      toMs: Math.max(last.toMs, next.toMs),
    };
  }
  return all;
}
