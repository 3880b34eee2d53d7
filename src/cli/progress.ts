import type { Progress, ProgressSink } from '../app/progress.ts';
import { excerpt } from '../core/printable.ts';
import type { Clock } from '../core/run.ts';
import type { ProgressLine } from './command.ts';
import { formatCount, formatDuration, formatNumberOf, formatShare, formatSize } from './format.ts';

const TERMINAL_EVERY_MS = 100;
const JSON_EVERY_MS = 1000;
const RATE_WINDOW_MS = 10_000;
const BAR_WIDTH = 20;

/** Progress on a terminal: one line of standard error that is written over. */
export interface StatusLine {
  show(text: string): void;
  readonly columns: number;
}

/** Hands on at most ten reports a second, each as one line for the terminal. */
export function createTerminalProgress(line: StatusLine, clock: Clock): ProgressSink {
  return createSink(TERMINAL_EVERY_MS, clock, (progress) => line.show(progressText(progress, line.columns)));
}

/** Hands on at most one report a second. */
export function createJsonProgress(write: (progress: ProgressLine) => void, clock: Clock): ProgressSink {
  return createSink(JSON_EVERY_MS, clock, write);
}

export const noProgress: ProgressSink = { report: () => undefined };

function createSink(everyMs: number, clock: Clock, write: (progress: ProgressLine) => void): ProgressSink {
  let shownMs = Number.NEGATIVE_INFINITY;
  let phase: string | undefined;
  let samples: Sample[] = [];
  return {
    report(progress) {
      const nowMs = clock.monotonicMs();
      const started = progress.phase !== phase;
      if (!started && nowMs - shownMs < everyMs) return;
      if (started) samples = [];
      phase = progress.phase;
      shownMs = nowMs;
      samples = [
        ...samples.filter((sample) => sample.atMs >= nowMs - RATE_WINDOW_MS),
        { atMs: nowMs, bytes: progress.bytes, things: thingsOf(progress).done ?? 0 },
      ];
      write(withRate(progress, samples));
    },
  };
}

type Sample = { readonly atMs: number; readonly bytes: number; readonly things: number };

/**
 * The rate is the mean over the last seconds: the mean since the start says little of a disk that has become slow. Where it is not known how
 * many bytes there will be, the time that is left goes by the entries.
 */
function withRate(progress: Progress, samples: readonly Sample[]): ProgressLine {
  const first = samples[0] ?? { atMs: 0, bytes: 0, things: 0 };
  const last = samples.at(-1) ?? first;
  const spanMs = last.atMs - first.atMs;
  const perSecond = (from: number, to: number): number => (spanMs > 0 ? Math.max(0, ((to - from) * 1000) / spanMs) : 0);
  const bytesPerSecond = Math.round(perSecond(first.bytes, last.bytes));
  const { bytes, totalBytes } = progress;
  const { done = 0, total } = thingsOf(progress);
  const leftMs =
    totalBytes === undefined
      ? timeLeftMs(done, total, perSecond(first.things, last.things))
      : timeLeftMs(bytes, totalBytes, bytesPerSecond);
  return { ...progress, bytesPerSecond, leftMs };
}

function timeLeftMs(done: number, total: number | undefined, perSecond: number): number | undefined {
  if (total === undefined || perSecond === 0) return undefined;
  return Math.round((Math.max(total - done, 0) * 1000) / perSecond);
}

/** One line of at most `columns - 1` characters: a full line would make some terminals begin another. */
export function progressText(progress: ProgressLine, columns: number): string {
  const { phase, bytes, totalBytes, bytesPerSecond, leftMs } = progress;
  const { done, total, one, many } = thingsOf(progress);
  const parts = [phase];
  const share = shareDone(progress);
  if (share !== undefined) {
    const filled = Math.floor(share * BAR_WIDTH);
    parts.push(`[${'#'.repeat(filled)}${'-'.repeat(BAR_WIDTH - filled)}]`, formatShare(share));
  }
  if (totalBytes !== undefined && totalBytes > 0) parts.push(`${formatSize(bytes)} of ${formatSize(totalBytes)}`);
  else if (bytes > 0) parts.push(formatSize(bytes));
  if (bytesPerSecond > 0) parts.push(`${formatSize(bytesPerSecond)}/s`);
  if (leftMs !== undefined && leftMs > 0) {
    parts.push(`${formatDuration(leftMs < 1000 ? 1000 : Math.floor(leftMs / 1000) * 1000)} left`);
  }
  if (done !== undefined) {
    parts.push(
      total === undefined
        ? formatNumberOf(done, one, many)
        : `${formatCount(done)} of ${formatNumberOf(total, one, many)}`,
    );
  }
  return excerpt(parts.join('  '), Math.max(columns - 1, 10));
}

function shareDone(progress: Progress): number | undefined {
  const { bytes, totalBytes } = progress;
  if (totalBytes !== undefined && totalBytes > 0) return Math.min(bytes / totalBytes, 1);
  const { done = 0, total } = thingsOf(progress);
  return total === undefined || total === 0 ? undefined : Math.min(done / total, 1);
}

type Things = {
  readonly done: number | undefined;
  readonly total: number | undefined;
  readonly one: string;
  readonly many: string;
};

function thingsOf({ entries, totalEntries, packs, totalPacks }: Progress): Things {
  if (packs !== undefined) return { done: packs, total: totalPacks, one: 'pack', many: 'packs' };
  return { done: entries, total: totalEntries, one: 'entry', many: 'entries' };
}
