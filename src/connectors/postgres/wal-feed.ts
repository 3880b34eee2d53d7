import { join } from 'node:path';
import type { LogReader } from '../../core/restorer.ts';
import type { Run } from '../../core/run.ts';
import type { BaseFacts } from './base-facts.ts';
import type { WalPlace } from './lsn.ts';
import { putOwned } from './owner.ts';
import type { Owner } from './owner.ts';
import { historyName } from './wal/history.ts';
import { RecordWalk } from './wal/record-walk.ts';
import { SegmentWriter } from './wal/segment-writer.ts';
import type { WalFile } from './wal/segment-writer.ts';
import { TablespacePatch } from './wal/tablespace-patch.ts';
import { isTablespaceRecord } from './wal/tablespace-record.ts';
import { Timelines } from './wal/timelines.ts';
import { walBytes } from './wal/wal-bytes.ts';

export type WalFeedOptions = {
  readonly facts: BaseFacts;
  readonly to: WalPlace;
  /** Where the files go. */
  readonly folder: string;
  readonly owner: Owner;
  /** Each file is on the disk before it gets its name. */
  readonly durable: boolean;
};

/** Makes files for a recovery of a stored log. A tablespace that the log creates becomes a folder in the data directory. */
export class WalFeed implements AsyncDisposable {
  readonly #to: bigint;
  readonly #writer: SegmentWriter;
  readonly #walk: RecordWalk;
  readonly #patch: TablespacePatch;

  constructor({ facts, to, folder, owner, durable }: WalFeedOptions) {
    const timelines = new Timelines(facts.timeline, facts.history);
    this.#to = to.lsn;
    // Without one a server takes no later timeline than the first for one that exists. Where the log tells what was before, that takes its place.
    if (facts.timeline > 1 && facts.history === undefined) {
      putOwned(join(folder, historyName(facts.timeline)), '# not in the repository\n', owner);
    }
    this.#writer = new SegmentWriter({ folder, shape: facts.shape, timelines, owner, durable });
    this.#walk = new RecordWalk({ shape: facts.shape, from: facts.redo, isWanted: isTablespaceRecord });
    this.#patch = new TablespacePatch(this.#walk, this.#writer);
  }

  /** Where the last whole record ends. */
  get end(): bigint {
    return this.#walk.end;
  }

  /** The log creates tablespaces: for the recovery they are folders in the data directory. */
  get hasTablespaces(): boolean {
    return this.#patch.hasTablespaces;
  }

  /** Tells of each file once it is whole. */
  async *files(log: LogReader, run: Run): AsyncGenerator<WalFile> {
    for await (const piece of walBytes(log, this.#to, run)) {
      yield* this.#writer.add(await this.#patch.apply(piece, run), run);
    }
    yield* this.#writer.finish();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#writer[Symbol.asyncDispose]();
  }
}
