import { statSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { assume } from '../../core/must.ts';
import type { Base, BaseEnd, Description, Entry, FileState, Skipped } from '../../core/recorder.ts';
import type { BaseReader, StoredEntry } from '../../core/restorer.ts';
import type { Run } from '../../core/run.ts';
import type { StreamPlace } from './link/history.ts';
import type { InfoFields } from './link/replication-info.ts';

/** The name of the one entry of a base: an RDB. Of a cluster there is one for each shard. */
export const RDB_ENTRY = 'dump.rdb';
const SHARDS = 'shards/';

const SHARD_DIGITS = 4;

export function shardEntry(shard: number): string {
  return `${SHARDS}${String(shard).padStart(SHARD_DIGITS, '0')}/${RDB_ENTRY}`;
}

/** Undefined for an entry that is no shard's. */
export function shardOf(name: Uint8Array): number | undefined {
  const [, shard] = /^shards\/(\d{4,})\/dump\.rdb$/.exec(Buffer.from(name).toString('latin1')) ?? [];
  return shard === undefined ? undefined : Number(shard);
}

/** The RDBs of the shards of a base; none where it is no cluster's. */
export async function shardEntries(base: BaseReader, run: Run): Promise<readonly StoredEntry[]> {
  const found: StoredEntry[] = [];
  for await (const entries of base.entries(run, { prefix: Buffer.from(SHARDS) })) found.push(...entries);
  return found;
}

/** What is kept beside an RDB. */
export type RdbOrigin = {
  /** As the server calls itself. */
  readonly server: 'redis' | 'valkey';
  readonly version: string;
  /** Where in which stream it was made; absent where keys were read one by one. */
  readonly replId?: string | undefined;
  readonly offset?: string | undefined;
  /** Of a shard of a cluster: which slots it had, such as `0-5460,7000`. */
  readonly slots?: string | undefined;
};

/** What a server says of itself. `place`: of what was received as a replica. */
export function originOf(server: InfoFields, place?: StreamPlace): RdbOrigin {
  const valkey = server.get('valkey_version');
  return {
    server: valkey === undefined ? 'redis' : 'valkey',
    version: valkey ?? server.get('redis_version') ?? '',
    replId: place?.replId,
    offset: place === undefined ? undefined : String(place.offset),
  };
}

export function encodeOrigin(origin: RdbOrigin): Uint8Array {
  return Buffer.from(JSON.stringify({ format: 1, ...origin }));
}

/** Undefined for what `encodeOrigin` did not write. */
export function decodeOrigin(attributes: Uint8Array): RdbOrigin | undefined {
  try {
    const found: unknown = JSON.parse(Buffer.from(attributes).toString());
    if (typeof found !== 'object' || found === null || !('format' in found) || found.format !== 1) return undefined;
    const text = (key: string): string | undefined => {
      const value: unknown = Object.entries(found).find(([name]) => name === key)?.[1];
      return typeof value === 'string' ? value : undefined;
    };
    const server = text('server') === 'valkey' ? 'valkey' : 'redis';
    const version = text('version') ?? '';
    const offset = text('offset');
    if (offset !== undefined && !/^\d{1,19}$/.test(offset)) return undefined;
    return { server, version, replId: text('replId'), offset, slots: text('slots') };
  } catch {
    return undefined;
  }
}

/** An RDB in a file of its own, and under which name it is kept. */
export type BaseRdb = { readonly name: string; readonly path: string; readonly origin: RdbOrigin };

export type BaseBounds = Pick<BaseEnd, 'logFrom' | 'cut'>;

/** A base that is RDBs, by ascending names; their files are removed when the base is disposed. `bounds`: between which positions it is, or who waits for them. */
export class RdbBase implements Base {
  readonly entries: AsyncIterable<readonly Entry[]>;
  readonly #rdbs: readonly BaseRdb[];
  readonly #bounds: BaseBounds | ((run: Run) => Promise<BaseBounds>);
  readonly #skipped: Skipped[] = [];
  #isDrained = false;

  constructor(rdbs: readonly BaseRdb[], bounds: BaseBounds | ((run: Run) => Promise<BaseBounds>)) {
    this.#rdbs = rdbs;
    this.#bounds = bounds;
    this.entries = this.#all();
  }

  /** The files are ours alone: whatever the cause is, another try would meet it again. */
  async retry({ name }: Entry, cause: unknown, { signal }: Run): Promise<undefined> {
    signal.throwIfAborted();
    const message = cause instanceof Error ? cause.message : String(cause);
    this.#skipped.push({ name, reason: 'unreadable', incomplete: true, message });
  }

  async finish(run: Run): Promise<BaseEnd> {
    run.signal.throwIfAborted();
    assume(this.#isDrained, 'all entries were pulled');
    const count = this.#skipped.length;
    const bounds = typeof this.#bounds === 'function' ? await this.#bounds(run) : this.#bounds;
    return { ...bounds, skipped: this.#skipped, skippedCount: count, incompleteCount: count };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { path } of this.#rdbs) await rm(path, { force: true });
  }

  async *#all(): AsyncGenerator<readonly Entry[]> {
    for (const { name, path, origin } of this.#rdbs) {
      const state = stateOf(path);
      const content = { kind: 'file', cut: 'stream', path: Buffer.from(path), state } as const;
      const describe = (): Description => ({ attributes: encodeOrigin(origin), content });
      yield [{ name: Buffer.from(name), estimatedBytes: state.sizeBytes, describe }];
    }
    this.#isDrained = true;
  }
}

function stateOf(path: string): FileState {
  const { size, mtimeNs, ctimeNs, ino } = statSync(path, { bigint: true });
  return { sizeBytes: Number(size), mtimeNs, ctimeNs, inode: ino };
}
