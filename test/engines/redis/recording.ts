import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { once } from 'node:events';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { RDB_ENTRY } from '../../../src/connectors/redis/base.ts';
import { redisOptions } from '../../../src/connectors/redis/options.ts';
import { resolvePlace } from '../../../src/connectors/redis/place.ts';
import type { RedisPlace } from '../../../src/connectors/redis/place.ts';
import { openRedisRecorder } from '../../../src/connectors/redis/recorder.ts';
import { openClient } from '../../../src/connectors/redis/resp-client.ts';
import { must } from '../../../src/core/must.ts';
import { check, keys } from '../../../src/core/option-schema.ts';
import { readLogBytes } from '../../../src/core/log-bytes.ts';
import type { Position } from '../../../src/core/position.ts';
import type { Log, LogPiece, Recorder } from '../../../src/core/recorder.ts';
import type { BaseReader } from '../../../src/core/restorer.ts';
import type { Run, Runtime } from '../../../src/core/run.ts';
import { createSystemClock } from '../../../src/flow/clock.ts';
import { startRedis } from '../../servers/redis.ts';
import type { RedisServer } from '../../servers/redis.ts';

export const forever: Run = { signal: new AbortController().signal };

export const runtime: Runtime = {
  clock: createSystemClock(),
  random: (sizeBytes) => randomBytes(sizeBytes),
  logger: { log: () => {} },
  temporaryFolder: tmpdir(),
};

export type PlaceOptions = Readonly<Record<string, unknown>> & { readonly password?: string | undefined };

/** A store as a manifest names it. */
export function placeOfUrl(url: string, { password, ...written }: PlaceOptions = {}): RedisPlace {
  const [, scheme = '', target = ''] = /^([a-z]+):(.*)$/.exec(url) ?? [];
  const { value: options = {} } = check(keys(redisOptions), written);
  return resolvePlace({ scheme, target, password: async () => password, via: [], options, leaveOut: [] }).options;
}

export async function openAt(
  place: RedisPlace,
  options: { readonly previous?: Position | undefined; readonly stateFolder?: string | undefined } = {},
): Promise<Recorder> {
  return await openRedisRecorder(place, { runtime, ...options }, forever);
}

/** A server with what is in a base. */
export async function startWith(base: BaseReader, run: Run = forever) {
  const folder = mkdtempSync(join(tmpdir(), 'tidemark-redis-loaded-'));
  const { content } = must(await base.find(Buffer.from(RDB_ENTRY), run), 'an RDB');
  const pieces: Uint8Array[] = [];
  for await (const piece of base.read(must(content, 'its content'), run)) pieces.push(Buffer.from(piece));
  writeFileSync(join(folder, 'dump.rdb'), Buffer.concat(pieces));
  const server = await startRedis({ folder });
  return {
    server,
    async [Symbol.asyncDispose]() {
      await server[Symbol.asyncDispose]();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** All strings of a server. */
export async function readAll(url: string): Promise<Map<string, string>> {
  await using client = await openClient(placeOfUrl(url), forever);
  const names = await client.call(['KEYS', '*'], forever);
  const all = new Map<string, string>();
  const text = (bytes: unknown): string =>
    bytes instanceof Uint8Array ? Buffer.from(bytes).toString() : String(bytes);
  for (const name of Array.isArray(names) ? names : []) {
    all.set(text(name), text(await client.call(['GET', text(name)], forever)));
  }
  return all;
}

/** Follows a log in the background, and keeps all that it tells. */
export class Followed implements AsyncDisposable {
  readonly pieces: LogPiece[] = [];
  failure: Error | undefined;
  readonly #log: Log;
  readonly #following: Promise<void>;

  constructor(log: Log) {
    this.#log = log;
    this.#following = this.#follow();
  }

  get log(): Log {
    return this.#log;
  }

  get last(): Position | undefined {
    return this.pieces.findLast(({ commit }) => commit !== undefined)?.commit?.position;
  }

  /** The bytes that came, which follow on each other. */
  bytes(after: Position): Buffer {
    let next = BigInt(after.order);
    const runs: Uint8Array[] = [];
    for (const change of this.pieces.flatMap(({ changes }) => changes)) {
      const { start, bytes } = readLogBytes(change);
      if (start !== next) throw new Error(`the log goes on at ${start}, not at ${next}`);
      next += BigInt(bytes.byteLength);
      runs.push(bytes);
    }
    return Buffer.concat(runs);
  }

  async upTo(position: Position, limitMs = 20_000): Promise<void> {
    const untilMs = performance.now() + limitMs;
    while ((this.last?.order ?? '') < position.order) {
      if (this.failure !== undefined) throw this.failure;
      if (performance.now() > untilMs) throw new Error(`the log stays at ${this.last?.resume}`);
      await runtime.clock.sleep(5, forever);
    }
  }

  /** Resolves with what the log fails with. */
  async failed(limitMs = 30_000): Promise<Error> {
    const enough = new AbortController();
    const limit = runtime.clock.sleep(limitMs, { signal: enough.signal }).catch(() => undefined);
    await Promise.race([this.#following, limit]);
    enough.abort();
    if (this.failure === undefined) throw new Error('the log did not fail');
    return this.failure;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#log[Symbol.asyncDispose]();
    await this.#following;
  }

  async #follow(): Promise<void> {
    try {
      for await (const pieces of this.#log) this.pieces.push(...pieces);
    } catch (error) {
      this.failure = error instanceof Error ? error : new Error(String(error));
    }
  }
}

/** What a server does with the bytes of a stream, as its replica would. */
export async function feed(port: number, bytes: Uint8Array): Promise<void> {
  const socket = connect(port, '127.0.0.1');
  await once(socket, 'connect');
  socket.end(bytes);
  socket.resume();
  await once(socket, 'close');
}

/** Told by the server about all that it holds. */
export async function digestOf(server: RedisServer): Promise<string> {
  return await server.call('DEBUG', 'DIGEST');
}

/** Resolves when a replica has all that its master has now. */
export async function untilCaughtUp(replica: RedisServer, master: RedisServer): Promise<void> {
  const goal = Number((await master.info('replication'))['master_repl_offset']);
  const offset = async (): Promise<number> => Number((await replica.info('replication'))['slave_repl_offset']);
  while ((await offset()) < goal) await runtime.clock.sleep(10, forever);
}
