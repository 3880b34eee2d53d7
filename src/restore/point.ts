import { compareBytes, startsWithBytes } from '../core/bytes.ts';
import { isSamePlace } from '../core/position.ts';
import type { Position } from '../core/position.ts';
import type { BaseReader, FileResult, FileTarget, LogReader, StoredContent, StoredEntry } from '../core/restorer.ts';
import type { Run } from '../core/run.ts';
import type { BaseRecord } from '../repository/catalogue.ts';
import { readLog } from '../repository/log-reader.ts';
import type { SegmentRecord } from '../repository/log-view.ts';
import type { RepositoryReader } from '../repository/reader.ts';
import { Overlay } from './overlay.ts';

/** A place in a history that can be restored: `segments` lead there from the base. */
export type Point = {
  readonly base: BaseRecord;
  readonly position: Position;
  readonly segments: readonly SegmentRecord[];
  /** What was removed after it stays. */
  readonly floor?: Position | undefined;
};

/** A history as it was at a point. Dispose it when nothing is read any more. */
export interface PointReader extends BaseReader, Disposable {}

const EMPTY = new Uint8Array(0);
const BATCH = 512;

/** Rolls the log forward over the base: reads all of it up to the point, and of the base what is asked for. @throws REPOSITORY_DAMAGED */
export async function openPoint(reader: RepositoryReader, point: Point, run: Run): Promise<PointReader> {
  const base = await reader.base(point.base, run);
  const overlay = new Overlay({ temporaryFolder: reader.access.runtime.temporaryFolder });
  try {
    if (point.segments.length > 0) await rollForward(reader, { ...point, overlay }, run);
    overlay.close();
    return overlay.isEmpty ? await openBare(reader, point, run) : new Overlaid(base, overlay);
  } catch (error) {
    overlay[Symbol.dispose]();
    throw error;
  }
}

/** The base of a point alone, for a store that rolls its own log forward. */
export async function openBare(reader: RepositoryReader, { base }: Point, run: Run): Promise<PointReader> {
  return Object.assign(await reader.base(base, run), { [Symbol.dispose]: () => undefined });
}

/** The log of bytes that leads from a point's base to it. */
export function logOf(reader: RepositoryReader, { base, position, segments }: Point): LogReader {
  const after = base.summary.logFrom;
  return {
    async *read(run) {
      if (segments.length > 0) yield* readLog(reader.access, { segments, after, upTo: position, isBytes: true }, run);
    },
  };
}

async function rollForward(
  reader: RepositoryReader,
  { base, position, segments, floor, overlay }: Point & { readonly overlay: Overlay },
  run: Run,
): Promise<void> {
  const { logFrom, cut, exact } = base.summary;
  // An observation stands at its own position, and at nothing before it.
  const stopsThere = exact === 'observation' && !isSamePlace(cut, position);
  const range = { segments, after: logFrom, upTo: position, stopsThere };
  for await (const batch of readLog(reader.access, range, run)) {
    for (const { entries, commit } of batch) {
      const keepsRemoved = floor?.lineage === position.lineage && commit.position.order > floor.order;
      for (const entry of entries) {
        if (!(keepsRemoved && 'removed' in entry)) overlay.put(entry);
      }
    }
  }
}

type Range = Parameters<BaseReader['entries']>[1];

/** A base with what a log has changed. */
class Overlaid implements PointReader {
  readonly #base: BaseReader;
  readonly #overlay: Overlay;

  constructor(base: BaseReader, overlay: Overlay) {
    this.#base = base;
    this.#overlay = overlay;
  }

  /** Of the base: how much the log makes of it is known only when all has been read. */
  get entryCount(): number {
    return this.#base.entryCount;
  }

  get contentBytes(): number {
    return this.#base.contentBytes;
  }

  async *entries(run: Run, range: Range = {}): AsyncGenerator<readonly StoredEntry[]> {
    const prefix = range.prefix ?? EMPTY;
    const from = range.from !== undefined && compareBytes(range.from, prefix) > 0 ? range.from : prefix;
    const changes = this.#overlay.from(from);
    let next = changes.next();
    const changedBefore = function* (name: Uint8Array | undefined): Generator<StoredEntry> {
      while (next.done !== true && startsWithBytes(next.value.name, prefix)) {
        if (name !== undefined && compareBytes(next.value.name, name) >= 0) return;
        if (next.value.entry !== undefined) yield next.value.entry;
        next = changes.next();
      }
    };
    for await (const batch of this.#base.entries(run, range)) {
      const merged: StoredEntry[] = [];
      for (const entry of batch) {
        merged.push(...changedBefore(entry.name));
        if (next.done !== true && compareBytes(next.value.name, entry.name) === 0) {
          if (next.value.entry !== undefined) merged.push(next.value.entry);
          next = changes.next();
        } else merged.push(entry);
      }
      if (merged.length > 0) yield merged;
    }
    let rest: StoredEntry[] = [];
    for (const entry of changedBefore(undefined)) {
      rest.push(entry);
      if (rest.length < BATCH) continue;
      run.signal.throwIfAborted();
      yield rest;
      rest = [];
    }
    if (rest.length > 0) yield rest;
  }

  async find(name: Uint8Array, run: Run): Promise<StoredEntry | undefined> {
    const changed = this.#overlay.find(name);
    return changed === undefined ? await this.#base.find(name, run) : changed.entry;
  }

  read(content: StoredContent, run: Run): AsyncIterable<Uint8Array> {
    return this.#base.read(content, run);
  }

  extract<Tag>(
    targets: AsyncIterable<readonly FileTarget<Tag>[]>,
    run: Run,
    onBytes?: (bytes: number) => void,
  ): AsyncIterable<readonly FileResult<Tag>[]> {
    return this.#base.extract(targets, run, onBytes);
  }

  [Symbol.dispose](): void {
    this.#overlay[Symbol.dispose]();
  }
}
