import { logBytes, readLogBytes } from '../../../core/log-bytes.ts';
import type { Position } from '../../../core/position.ts';
import type { BaseReader, LogReader, LoggedTransaction, StoredContent } from '../../../core/restorer.ts';
import type { Run } from '../../../core/run.ts';
import { positionOf } from '../lsn.ts';

const PREFIX = 'pg_wal/';
const SEGMENT = /^pg_wal\/([0-9A-F]{8})([0-9A-F]{8})([0-9A-F]{8})$/;

type Segment = { readonly timeline: number; readonly start: bigint; readonly content: StoredContent };

/** Whether a file of a data directory is one of the server's log. */
export function isWalSegment(path: string): boolean {
  return SEGMENT.test(path);
}

/**
 * What a base holds of the log itself, and then the stored log. A base that was taken alone holds what it needs to be whole; one beside which the log was
 * recorded holds nothing of it.
 */
export function withBaseLog(
  base: BaseReader,
  log: LogReader,
  { segmentBytes, to }: { readonly segmentBytes: number; readonly to: Position },
): LogReader {
  return {
    async *read(run) {
      const batches = log.read(run)[Symbol.asyncIterator]();
      const first = await batches.next();
      const end = first.done === true ? BigInt(to.order) : startOf(first.value, to);
      yield* ownLog(base, { segmentBytes, end, lineage: to.lineage }, run);
      for (let next = first; next.done !== true; next = await batches.next()) yield next.value;
    },
  };
}

function startOf(batch: readonly LoggedTransaction[], to: Position): bigint {
  for (const { entries, commit } of batch) {
    const [entry] = entries;
    return entry === undefined ? BigInt(commit.position.order) : readLogBytes(entry).start;
  }
  return BigInt(to.order);
}

async function* ownLog(
  base: BaseReader,
  { segmentBytes, end, lineage }: { readonly segmentBytes: number; readonly end: bigint; readonly lineage: string },
  run: Run,
): AsyncGenerator<readonly LoggedTransaction[]> {
  for (const { timeline, start, content } of await segmentsOf(base, segmentBytes, run)) {
    let at = start;
    for await (const piece of base.read(content, run)) {
      const bytes = piece.subarray(0, Number(end > at ? end - at : 0n));
      if (bytes.byteLength === 0) break;
      const next = at + BigInt(bytes.byteLength);
      yield [
        { entries: [logBytes(at, bytes)], commit: { position: positionOf({ timeline, lsn: next }, lineage), atMs: 0 } },
      ];
      at = next;
    }
  }
}

/** By place, each once: a new timeline's segment begins with what the older one's held. */
async function segmentsOf(base: BaseReader, segmentBytes: number, run: Run): Promise<readonly Segment[]> {
  const found = new Map<bigint, Segment>();
  for await (const batch of base.entries(run, { prefix: Buffer.from(PREFIX) })) {
    for (const { name, content } of batch) {
      const [, timeline = '', high = '', low = ''] = SEGMENT.exec(Buffer.from(name).toString('latin1')) ?? [];
      if (content === undefined || timeline === '') continue;
      const start = (BigInt(`0x${high}`) << 32n) + BigInt(`0x${low}`) * BigInt(segmentBytes);
      found.set(start, { timeline: Number.parseInt(timeline, 16), start, content });
    }
  }
  return [...found.values()].toSorted((left, right) => (left.start < right.start ? -1 : 1));
}
