import type { Progress, ProgressSink } from '../app/progress.ts';
import { excerpt } from '../core/printable.ts';
import type { Clock } from '../core/run.ts';
import type { ProgressLine } from './command.ts';
import { formatDuration, formatNumberOf, formatShare, formatSize } from './format.ts';

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
  let samples: { readonly atMs: number; readonly bytes: number }[] = [];
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
        { atMs: nowMs, bytes: progress.bytes },
      ];
      write(withRate(progress, samples));
    },
  };
}

/** The rate is the mean over the last seconds: the mean since the start says little of a disk that has become slow. */
function withRate(
  progress: Progress,
  samples: readonly { readonly atMs: number; readonly bytes: number }[],
): ProgressLine {
  const [first] = samples;
  const last = samples.at(-1);
  const spanMs = (last?.atMs ?? 0) - (first?.atMs ?? 0);
  const bytesPerSecond =
    spanMs > 0 ? Math.max(0, Math.round((((last?.bytes ?? 0) - (first?.bytes ?? 0)) * 1000) / spanMs)) : 0;
  const { bytes, totalBytes } = progress;
  const left = totalBytes === undefined ? undefined : Math.max(totalBytes - bytes, 0);
  const leftMs = left === undefined || bytesPerSecond === 0 ? undefined : Math.round((left * 1000) / bytesPerSecond);
  return { ...progress, bytesPerSecond, leftMs };
}

/** One line of at most `columns - 1` characters: a full line would make some terminals begin another. */
export function progressText(progress: ProgressLine, columns: number): string {
  const { phase, bytes, totalBytes, entries, totalEntries, bytesPerSecond, leftMs } = progress;
  const parts = [phase];
  if (totalBytes !== undefined && totalBytes > 0) {
    const share = Math.min(bytes / totalBytes, 1);
    const filled = Math.floor(share * BAR_WIDTH);
    parts.push(`[${'#'.repeat(filled)}${'-'.repeat(BAR_WIDTH - filled)}]`, formatShare(share));
    parts.push(`${formatSize(bytes)} of ${formatSize(totalBytes)}`);
  } else if (bytes > 0) {
    parts.push(formatSize(bytes));
  }
  if (bytesPerSecond > 0) parts.push(`${formatSize(bytesPerSecond)}/s`);
  if (leftMs !== undefined && leftMs > 0) {
    parts.push(`${formatDuration(leftMs < 1000 ? 1000 : Math.floor(leftMs / 1000) * 1000)} left`);
  }
  if (entries !== undefined) {
    parts.push(
      totalEntries === undefined
        ? formatNumberOf(entries, 'entry', 'entries')
        : `${entries} of ${formatNumberOf(totalEntries, 'entry', 'entries')}`,
    );
  }
  return excerpt(parts.join('  '), Math.max(columns - 1, 10));
}
