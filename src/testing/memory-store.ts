import { readerOf } from '../core/byte-reader.ts';
import { compareBytes } from '../core/bytes.ts';
import { TidemarkError } from '../core/errors.ts';
import { assume } from '../core/must.ts';
import { orderOf } from '../core/position.ts';
import type { Position } from '../core/position.ts';
import type { Base, BaseEnd, Entry, Recorder, Skipped } from '../core/recorder.ts';
import type { BaseReader, StoredEntry } from '../core/restorer.ts';
import type { Run } from '../core/run.ts';

type Value = { readonly bytes: Uint8Array; readonly revision: number };

/**
 * A datastore of keys and values in memory that counts its changes, with a recorder whose bases are exactly what was there when they were
 * opened. Stands in for a server in tests of what handles recorders.
 */
export class MemoryStore {
  readonly lineage: string;
  readonly #values = new Map<string, Value>();
  #revision = 0;

  constructor(lineage: string) {
    this.lineage = lineage;
  }

  put(key: string, value: string | undefined): void {
    this.#revision++;
    if (value === undefined) this.#values.delete(key);
    else this.#values.set(key, { bytes: Buffer.from(value), revision: this.#revision });
  }

  openRecorder(): Recorder {
    return {
      lineage: { id: this.lineage },
      exact: 'position',
      openBase: async ({ signal }) => {
        signal.throwIfAborted();
        return new MemoryStoreBase(new Map(this.#values), this.#position());
      },
      async [Symbol.asyncDispose]() {},
    };
  }

  #position(): Position {
    return { lineage: this.lineage, order: orderOf(this.#revision), resume: String(this.#revision) };
  }
}

/** As `Connector.checkEntry`, of a base of a `MemoryStore`. */
export function checkMemoryEntry({ attributes }: StoredEntry): void {
  if (/^revision [0-9]+$/.test(Buffer.from(attributes).toString())) return;
  throw new TidemarkError('REPOSITORY_DAMAGED', 'the attributes of an entry are no revision');
}

/** What a base of a `MemoryStore` holds, by key. */
export async function valuesOf(base: BaseReader, run: Run): Promise<ReadonlyMap<string, string>> {
  const values = new Map<string, string>();
  for await (const batch of base.entries(run)) {
    for (const { name, content } of batch) {
      const pieces = content === undefined ? [] : await Array.fromAsync(base.read(content, run));
      values.set(Buffer.from(name).toString(), Buffer.concat(pieces).toString());
    }
  }
  return values;
}

const BATCH = 5;

class MemoryStoreBase implements Base {
  readonly entries: AsyncIterable<readonly Entry[]>;
  readonly #position: Position;
  readonly #skipped: Skipped[] = [];
  #drained = false;

  constructor(values: ReadonlyMap<string, Value>, position: Position) {
    this.#position = position;
    this.entries = this.#batches(values);
  }

  /** Nothing changes in memory: whatever the cause is, another try meets it again. */
  async retry({ name }: Entry, cause: unknown, { signal }: Run): Promise<undefined> {
    signal.throwIfAborted();
    const message = cause instanceof Error ? cause.message : String(cause);
    this.#skipped.push({ name, reason: 'unreadable', incomplete: true, message });
  }

  async finish({ signal }: Run): Promise<BaseEnd> {
    signal.throwIfAborted();
    assume(this.#drained, 'all entries were pulled');
    return {
      logFrom: this.#position,
      cut: this.#position,
      skipped: this.#skipped,
      skippedCount: this.#skipped.length,
      incompleteCount: this.#skipped.length,
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {}

  async *#batches(values: ReadonlyMap<string, Value>): AsyncGenerator<readonly Entry[]> {
    const entries = [...values].map(([key, value]) => entryOf(key, value));
    entries.sort((left, right) => compareBytes(left.name, right.name));
    for (let at = 0; at < entries.length; at += BATCH) yield entries.slice(at, at + BATCH);
    this.#drained = true;
  }
}

function entryOf(key: string, { bytes, revision }: Value): Entry {
  const content = { cut: 'stream', kind: 'reader', open: async () => readerOf(bytes) } as const;
  return {
    name: Buffer.from(key),
    fingerprint: Buffer.from(String(revision)),
    estimatedBytes: bytes.byteLength,
    describe: () => ({ attributes: Buffer.from(`revision ${revision}`), content }),
  };
}
