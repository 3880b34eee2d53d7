import { readerOf } from '../core/byte-reader.ts';
import type { Batch, Change, Put } from '../core/change.ts';
import type { Connector, RecorderContext } from '../core/connector.ts';
import { assume, must } from '../core/must.ts';
import type { Position } from '../core/position.ts';
import type {
  Base,
  BaseEnd,
  Content,
  Entry,
  Log,
  LoggedChange,
  LogPiece,
  Recorder,
  Skipped,
} from '../core/recorder.ts';
import type { Run } from '../core/run.ts';
import { EVERYTHING } from '../core/source.ts';
import type { Feed, Snapshot, Source } from '../core/source.ts';
import { encodeStoredValue, INLINE_VALUE_BYTES } from '../core/stored-value.ts';

const MOST_SKIPPED = 1_000;

/** The recorder of a store: the connector's own, or one over its source. */
export async function openRecorderOf<Options>(
  connector: Connector<Options>,
  options: Options,
  context: RecorderContext,
  run: Run,
): Promise<Recorder> {
  if (connector.openRecorder !== undefined) return await connector.openRecorder(options, context, run);
  const openSource = must(connector.openSource, 'a recorder or a source of the connector');
  return recorderOfSource(await openSource(options, context, run));
}

/** A recorder over a source: a base is a snapshot, an entry for each key. Disposes the source. */
export function recorderOfSource(source: Source): Recorder {
  return {
    lineage: source.lineage,
    exact: source.exact,
    async openBase(run) {
      return new SourceBase(await source.openSnapshot(EVERYTHING, run));
    },
    head: (run) => source.head(run),
    async openLog(after, run) {
      return logOfFeed(await source.openFeed(EVERYTHING, after, run));
    },
    async [Symbol.asyncDispose]() {
      await source[Symbol.asyncDispose]();
    },
  };
}

/** A log over a feed: values of any size are in the attributes, as a log has no contents to fetch. */
function logOfFeed(feed: Feed): Log {
  return {
    async *[Symbol.asyncIterator]() {
      for await (const batches of feed) yield batches.map(pieceOf);
    },
    acknowledge: (durable) => feed.acknowledge(durable),
    async [Symbol.asyncDispose]() {
      await feed[Symbol.asyncDispose]();
    },
  };
}

function pieceOf({ changes, commit }: Batch): LogPiece {
  return { changes: changes.map(loggedChange), commit };
}

function loggedChange(change: Change): LoggedChange {
  assume(change.key.space === '', 'a store with one space');
  const name = change.key.bytes;
  if (change.op === 'delete') return { name, removed: true };
  const { value: inline, expiresAtMs } = change;
  return { name, attributes: encodeStoredValue({ expiresAtMs, inline }) };
}

class SourceBase implements Base {
  readonly entries: AsyncIterable<readonly Entry[]>;
  readonly #snapshot: Snapshot;
  readonly #cut: Position;
  readonly #skipped: Skipped[] = [];
  #skippedCount = 0;
  #isDrained = false;

  constructor(snapshot: Snapshot) {
    this.#snapshot = snapshot;
    this.#cut = snapshot.cut;
    this.entries = this.#batches();
  }

  /** The value is in memory: whatever the cause is, another try would meet it again. */
  async retry({ name }: Entry, cause: unknown, { signal }: Run): Promise<undefined> {
    signal.throwIfAborted();
    this.#skippedCount++;
    if (this.#skipped.length >= MOST_SKIPPED) return;
    const message = cause instanceof Error ? cause.message : String(cause);
    this.#skipped.push({ name, reason: 'unreadable', incomplete: true, message });
  }

  async finish({ signal }: Run): Promise<BaseEnd> {
    signal.throwIfAborted();
    assume(this.#isDrained, 'all entries were pulled');
    const [skipped, skippedCount] = [this.#skipped, this.#skippedCount];
    return { logFrom: this.#cut, cut: this.#cut, skipped, skippedCount, incompleteCount: skippedCount };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#snapshot[Symbol.asyncDispose]();
  }

  async *#batches(): AsyncGenerator<readonly Entry[]> {
    for await (const puts of this.#snapshot) yield puts.map(entryOf);
    this.#isDrained = true;
  }
}

function entryOf({ key, value, expiresAtMs }: Put): Entry {
  assume(key.space === '', 'a store with one space');
  const isInline = value.byteLength <= INLINE_VALUE_BYTES;
  const content: Content = { cut: 'stream', kind: 'reader', open: async () => readerOf(value) };
  return {
    name: key.bytes,
    estimatedBytes: isInline ? 0 : value.byteLength,
    describe: () =>
      isInline
        ? { attributes: encodeStoredValue({ expiresAtMs, inline: value }) }
        : { attributes: encodeStoredValue({ expiresAtMs }), content },
  };
}
