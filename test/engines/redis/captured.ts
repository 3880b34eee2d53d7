import { randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { encodeOrigin, RDB_ENTRY } from '../../../src/connectors/redis/base.ts';
import { ReplicaLink } from '../../../src/connectors/redis/link/replica-link.ts';
import type { RedisPlace } from '../../../src/connectors/redis/place.ts';
import { logBytes } from '../../../src/core/log-bytes.ts';
import { orderOf } from '../../../src/core/position.ts';
import type { Position } from '../../../src/core/position.ts';
import { startsWithBytes } from '../../../src/core/bytes.ts';
import type { BaseReader, LoggedTransaction, LogReader, StoredEntry } from '../../../src/core/restorer.ts';
import type { Runtime } from '../../../src/core/run.ts';
import { createSystemClock } from '../../../src/flow/clock.ts';
import type { RedisServer } from '../../servers/redis.ts';

const run = { signal: new AbortController().signal };

export const runtime: Runtime = {
  clock: createSystemClock(),
  random: (sizeBytes) => randomBytes(sizeBytes),
  logger: { log: () => undefined },
  temporaryFolder: tmpdir(),
};

export function placeOf(server: RedisServer, expiry: RedisPlace['expiry'] = 'remaining'): RedisPlace {
  const password = async (): Promise<string | undefined> => server.password;
  return { host: '127.0.0.1', port: server.port, password, expiry, source: 'psync' };
}

/** What a replica is given, in memory: the RDB, and the log from then on. */
export type Recording = AsyncDisposable & {
  readonly base: BaseReader;
  /** Takes in what the server has sent up to now, and says where that is. */
  position(): Promise<Position>;
  log(to: Position): LogReader;
};

export async function record(server: RedisServer, atMs: () => number = () => Date.now()): Promise<Recording> {
  const folder = mkdtempSync(join(tmpdir(), 'tidemark-recording-'));
  const link = await ReplicaLink.open(placeOf(server), runtime.clock, run);
  await link.ask(undefined, run);
  const start = await link.answer(run);
  if (start.kind !== 'full') throw new Error('no full synchronisation');
  const path = join(folder, 'dump.rdb');
  await link.receiveRdb(path, run);
  const rdb = readFileSync(path);
  const { replId, offset } = start.place;
  const positionAt = (at: bigint): Position => ({ lineage: replId, order: orderOf(at), resume: `${replId}:${at}` });
  const pieces: LoggedTransaction[] = [];
  let at = offset;
  return {
    base: baseOf(rdb, encodeOrigin({ server: 'redis', version: '7', replId, offset: String(offset) })),
    async position() {
      const wanted = BigInt((await server.info('replication'))['master_repl_offset'] ?? '0');
      while (at < wanted) {
        await link.arrivedWithin(1000, run);
        for (const chunk of link.take()) {
          const change = logBytes(at, chunk);
          at += BigInt(chunk.byteLength);
          link.acknowledge(at);
          pieces.push({ entries: [change], commit: { position: positionAt(at), atMs: atMs() } });
        }
      }
      return positionAt(wanted);
    },
    log: (to) => ({
      async *read() {
        yield pieces.filter(
          ({ entries: [entry] }) => orderOf(Buffer.from(entry?.name ?? []).readBigUInt64BE()) <= to.order,
        );
      },
    }),
    async [Symbol.asyncDispose]() {
      await link[Symbol.asyncDispose]();
      rmSync(folder, { recursive: true });
    },
  };
}

export function baseOf(rdb: Uint8Array, attributes: Uint8Array): BaseReader {
  const entry: StoredEntry = { name: Buffer.from(RDB_ENTRY), attributes, content: { sizeBytes: rdb.byteLength } };
  return {
    entryCount: 1,
    contentBytes: rdb.byteLength,
    async *entries(_, { prefix = Buffer.alloc(0) } = {}) {
      if (!startsWithBytes(entry.name, prefix)) return;
      yield [entry];
    },
    find: async (name) => (Buffer.from(name).toString() === RDB_ENTRY ? entry : undefined),
    async *read() {
      for (let at = 0; at < rdb.byteLength; at += 100_000) yield rdb.subarray(at, at + 100_000);
    },
    extract: () => {
      throw new Error('nothing is extracted');
    },
  };
}
