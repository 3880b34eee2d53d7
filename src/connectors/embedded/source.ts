import type { DatabaseSync } from 'node:sqlite';
import type { Put } from '../../core/change.ts';
import type { Lineage, Position } from '../../core/position.ts';
import type { Runtime } from '../../core/run.ts';
import { disjointPrefixes } from '../../core/source.ts';
import type { Scope, Snapshot, Source } from '../../core/source.ts';
import { HEAD_SQL, lineageOf, numberOf, openDatabase } from './database.ts';
import { withStoreErrors } from './errors.ts';
import { assertInPlace, assertReachable, inodeOf, positionOf, readBatches } from './feed.ts';
import { EmbeddedReader } from './reading.ts';
import type { EmbeddedPlace } from './place.ts';

const BUSY_TIMEOUT_MS = 10_000;
const BATCH = 256;
const BATCH_BYTES = 1024 * 1024;

/** The logical history of an embedded store. @throws STORE_UNREACHABLE when it is not there */
export function openEmbeddedSource({ file }: EmbeddedPlace, { clock }: Pick<Runtime, 'clock'>): Source {
  const open = (): DatabaseSync =>
    openDatabase({ path: file, mustExist: true, durable: true, busyTimeoutMs: BUSY_TIMEOUT_MS });
  const inode = inodeOf(file);
  const database = open();
  const lineage: Lineage = { id: readFirst(database, file, () => lineageOf(database)) };
  return {
    capabilities: { previous: true, created: true, atomic: true },
    exact: 'position',
    lineage,
    async head({ signal }) {
      signal.throwIfAborted();
      assertInPlace(file, inode);
      return withStoreErrors(file, () => headOf(database));
    },
    async openSnapshot(scope, { signal }) {
      signal.throwIfAborted();
      const own = open();
      return readFirst(own, file, () => new EmbeddedSnapshot({ database: own, file, scope }));
    },
    async openFeed(scope, after, run) {
      const from = { lineage: after.lineage, revision: Number(after.resume) };
      withStoreErrors(file, () => assertReachable(database, file, from));
      const batches = readBatches({ path: file, clock, from, scope }, run);
      return {
        [Symbol.asyncIterator]: () => batches,
        // Nothing is kept back for who reads: compaction is by age alone.
        acknowledge() {},
        async [Symbol.asyncDispose]() {
          await batches.return(undefined);
        },
      };
    },
    async [Symbol.asyncDispose]() {
      if (database.isOpen) database.close();
    },
  };
}

/** What is read of a database right after it is opened; it is closed where that fails. */
function readFirst<Result>(database: DatabaseSync, file: string, read: () => Result): Result {
  try {
    return withStoreErrors(file, read);
  } catch (error) {
    database.close();
    throw error;
  }
}

function headOf(database: DatabaseSync): Position {
  return positionOf(lineageOf(database), numberOf(database, HEAD_SQL));
}

type SnapshotOptions = { readonly database: DatabaseSync; readonly file: string; readonly scope: Scope };

/** Reads in one transaction of its own connection. What has expired and was not deleted yet is in it: its delete will be in the feed. */
class EmbeddedSnapshot implements Snapshot {
  readonly cut: Position;
  readonly #options: SnapshotOptions;

  constructor(options: SnapshotOptions) {
    this.#options = options;
    options.database.exec('BEGIN');
    this.cut = headOf(options.database);
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<readonly Put[]> {
    const { database, file, scope } = this.#options;
    const reader = withStoreErrors(file, () => new EmbeddedReader(database, NEVER));
    let batch: Put[] = [];
    let bytes = 0;
    for (const prefix of disjointPrefixes(scope)) {
      for (const { key, value, expiresAtMs } of reader.range({ prefix })) {
        batch.push({
          op: 'put',
          key: { space: '', bytes: key },
          value,
          ...(expiresAtMs !== undefined && { expiresAtMs }),
        });
        bytes += key.byteLength + value.byteLength;
        if (batch.length < BATCH && bytes < BATCH_BYTES) continue;
        yield batch;
        [batch, bytes] = [[], 0];
      }
    }
    if (batch.length > 0) yield batch;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const { database } = this.#options;
    if (database.isOpen) database.close();
  }
}

/** A clock by which nothing has expired. */
const NEVER = { nowMs: () => -Infinity };
