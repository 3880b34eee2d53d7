import { logBytes } from '../../../core/log-bytes.ts';
import type { LogPiece } from '../../../core/recorder.ts';
import type { CommitTime } from '../wal/commit-times.ts';
import { segmentStart } from './wal-history.ts';
import type { WalHistory } from './wal-history.ts';

const PIECE_BYTES = 256n * 1024n;
/** What one piece holds was committed within so long, so that a time of the log is found. */
const PIECE_SPAN_MS = 200;

/** A run of the log. `commits`: those that end in it. `allAtMs`: when its end was all that the server had. */
export type Received = {
  readonly start: bigint;
  readonly bytes: Buffer;
  readonly commits: readonly CommitTime[];
  readonly allAtMs: number | undefined;
};

type Run = { readonly start: bigint; readonly bytes: Buffer; readonly allAtMs: number | undefined };

/**
 * Makes pieces of what has come: cut at segments of the log, where a timeline was left, where pieces would be long, and where they would be of more than one
 * moment. What lies before `after` has come to be compared, and is known already.
 *
 * A piece has the time of its commits, by the server's clock, whenever it came: so a time in which nobody recorded is found. Without a commit it has the
 * time at which there was no more; where there was more, that of the commit before.
 */
export class PieceCutter {
  readonly #history: WalHistory;
  readonly #after: bigint;
  readonly #leastMs: number;
  #lastMs: number;

  /** `leastMs`: when what lies before `after` was there already. */
  constructor(history: WalHistory, after: bigint, leastMs: number) {
    this.#history = history;
    this.#after = after;
    this.#leastMs = leastMs;
    this.#lastMs = leastMs;
  }

  cut(received: readonly Received[]): readonly LogPiece[] {
    const pieces: LogPiece[] = [];
    const commits = received.flatMap((run) =>
      run.commits.map(({ end, atMs }) => ({ end: least(end, endOf(run)), atMs })),
    );
    const cuts = cutsBetween(commits);
    let [open, nextCommit, nextCut]: [Run[], number, number] = [[], 0, 0];
    const close = (): void => {
      const [first, last] = [open[0], open.at(-1)];
      if (first === undefined || last === undefined) return;
      const end = endOf(last);
      let atMs: number | undefined;
      for (; (commits[nextCommit]?.end ?? end + 1n) <= end; nextCommit++) {
        this.#lastMs = Math.max(this.#leastMs, commits[nextCommit]?.atMs ?? 0);
        atMs = Math.max(atMs ?? 0, this.#lastMs);
      }
      const bytes = open.length === 1 ? first.bytes : Buffer.concat(open.map((run) => run.bytes));
      const commit = { position: this.#history.position(end), atMs: atMs ?? last.allAtMs ?? this.#lastMs };
      pieces.push({ changes: [logBytes(first.start, bytes)], commit });
      this.#history.delivered = end;
      open = [];
    };
    for (const { start, bytes, allAtMs } of received) {
      const end = start + BigInt(bytes.byteLength);
      for (let from = start > this.#after ? start : this.#after; from < end; ) {
        while ((cuts[nextCut] ?? end) <= from) nextCut++;
        const cut = least(this.#fixedCut(from), cuts[nextCut] ?? this.#fixedCut(from));
        const upTo = least(cut, end);
        const part = bytes.subarray(Number(from - start), Number(upTo - start));
        const run = { start: from, bytes: part, allAtMs: upTo === end ? allAtMs : undefined };
        if (isFull(open, run)) close();
        open.push(run);
        if (upTo === cut) close();
        from = upTo;
      }
    }
    close();
    return pieces;
  }

  /** A commit stands where a timeline was left: from it a restore knows that it was. */
  #fixedCut(from: bigint): bigint {
    const { shape, timelines } = this.#history;
    const segmentEnd = segmentStart(from, shape) + shape.segmentBytes;
    const left = timelines.left.find(({ switchLsn }) => switchLsn > from)?.switchLsn;
    return left === undefined ? segmentEnd : least(left, segmentEnd);
  }
}

/** Behind the last commit of each moment. */
function cutsBetween(commits: readonly CommitTime[]): readonly bigint[] {
  const cuts: bigint[] = [];
  let [first, last] = [commits[0], commits[0]];
  for (const commit of commits) {
    if (first !== undefined && last !== undefined && commit.atMs - first.atMs > PIECE_SPAN_MS) {
      cuts.push(last.end);
      first = commit;
    }
    last = commit;
  }
  return cuts;
}

function isFull(open: readonly Run[], { start, bytes }: Run): boolean {
  const [first] = open;
  return first !== undefined && start - first.start + BigInt(bytes.byteLength) > PIECE_BYTES;
}

function endOf({ start, bytes }: Pick<Run, 'start' | 'bytes'>): bigint {
  return start + BigInt(bytes.byteLength);
}

function least(one: bigint, other: bigint): bigint {
  return one < other ? one : other;
}
