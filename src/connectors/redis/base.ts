import { statSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { assume } from '../../core/must.ts';
import type { Position } from '../../core/position.ts';
import type { Base, BaseEnd, Entry, FileState, Skipped } from '../../core/recorder.ts';
import type { Run } from '../../core/run.ts';
import type { StreamPlace } from './link/history.ts';
import type { InfoFields } from './link/replication-info.ts';

/** The name of the one entry of a base: an RDB. */
export const RDB_ENTRY = 'dump.rdb';

/** What is kept beside an RDB. */
export type RdbOrigin = {
  /** As the server calls itself. */
  readonly server: 'redis' | 'valkey';
  readonly version: string;
  /** Where in which stream it was made; absent where keys were read one by one. */
  readonly replId?: string | undefined;
  readonly offset?: string | undefined;
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
    return { server, version: text('version') ?? '', replId: text('replId'), offset: text('offset') };
  } catch {
    return undefined;
  }
}

/** A base that is an RDB in a file of its own, which is removed when the base is disposed. */
export class RdbBase implements Base {
  readonly entries: AsyncIterable<readonly Entry[]>;
  readonly #path: string;
  readonly #cut: Position;
  readonly #origin: RdbOrigin;
  readonly #skipped: Skipped[] = [];
  #isDrained = false;

  constructor(options: { readonly path: string; readonly cut: Position; readonly origin: RdbOrigin }) {
    this.#path = options.path;
    this.#cut = options.cut;
    this.#origin = options.origin;
    this.entries = this.#one();
  }

  /** The file is ours alone: whatever the cause is, another try would meet it again. */
  async retry({ name }: Entry, cause: unknown, { signal }: Run): Promise<undefined> {
    signal.throwIfAborted();
    const message = cause instanceof Error ? cause.message : String(cause);
    this.#skipped.push({ name, reason: 'unreadable', incomplete: true, message });
  }

  async finish({ signal }: Run): Promise<BaseEnd> {
    signal.throwIfAborted();
    assume(this.#isDrained, 'all entries were pulled');
    const count = this.#skipped.length;
    return {
      logFrom: this.#cut,
      cut: this.#cut,
      skipped: this.#skipped,
      skippedCount: count,
      incompleteCount: count,
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.#path, { force: true });
  }

  async *#one(): AsyncGenerator<readonly Entry[]> {
    const state = stateOf(this.#path);
    const path = Buffer.from(this.#path);
    yield [
      {
        name: Buffer.from(RDB_ENTRY),
        estimatedBytes: state.sizeBytes,
        describe: () => ({
          attributes: encodeOrigin(this.#origin),
          content: { kind: 'file', cut: 'stream', path, state },
        }),
      },
    ];
    this.#isDrained = true;
  }
}

function stateOf(path: string): FileState {
  const { size, mtimeNs, ctimeNs, ino } = statSync(path, { bigint: true });
  return { sizeBytes: Number(size), mtimeNs, ctimeNs, inode: ino };
}
