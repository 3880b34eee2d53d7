/**
 * How far long work has come, since it began. `phase` is a word or two for people: `reading uploads`. Totals are absent while they
 * are not known; they may grow.
 */
export type Progress = {
  readonly phase: string;
  readonly store?: string | undefined;
  readonly entries?: number | undefined;
  readonly totalEntries?: number | undefined;
  /** Instead of entries, where the work goes by packs. */
  readonly packs?: number | undefined;
  readonly totalPacks?: number | undefined;
  readonly bytes: number;
  readonly totalBytes?: number | undefined;
};

/** Takes what is reported as often as the reporter likes: it drops what comes too fast, never waits and never throws. */
export interface ProgressSink {
  report(progress: Progress): void;
}
