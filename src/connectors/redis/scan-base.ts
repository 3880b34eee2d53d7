import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { DatabaseSync } from 'node:sqlite';
import { isTidemarkError } from '../../core/errors.ts';
import type { Run } from '../../core/run.ts';
import { writePieces } from '../../io/file-pieces.ts';
import { ErrorReply, refusal, unreachable } from './errors.ts';
import { parseInfo } from './link/replication-info.ts';
import { rdbHeader } from './rdb/value-skipper.ts';
import { encodeCommand, itemsOf } from './resp.ts';
import type { Command, RedisClient } from './resp-client.ts';
import type { Reply } from './resp.ts';

const SCANNED_AT_ONCE = '1000';
/** Of values that are under way. */
const GROUP_BYTES = 8 * 1024 * 1024;
/** What a payload of DUMP has at its end: the version of its encoding, and a checksum. */
const FOOTER_BYTES = 10;
const SELECT_DB = 0xfe;
const EXPIRES_MS = 0xfc;
const END = 0xff;
const HEADER_BYTES = 9;
/** That of Redis 7.0, for a server that holds nothing. */
const LEAST_VERSION = 10;

/**
 * Reads a server key by key, and writes what it finds into a new file, as an RDB without a checksum: each key once, as it was when it was read. What was there
 * all the time is in it. The file is durable when this resolves. @throws STORE_UNREACHABLE, DISK_FULL
 */
export async function scanToRdb(client: RedisClient, path: string, run: Run): Promise<void> {
  await using file = await open(path, constants.O_RDWR | constants.O_CREAT | constants.O_EXCL, 0o600);
  using seen = new SeenKeys();
  const writer = new RdbWriter(file);
  await writer.begin(run);
  await writer.functions(await dumpFunctions(client, run), run);
  for (const database of await databasesOf(client, run)) {
    await client.call(['SELECT', String(database)], run);
    await writer.select(database, run);
    seen.clear();
    for await (const group of groups(client, seen, run)) await writer.keys(await dumpKeys(client, group, run), run);
  }
  await writer.end(run);
}

async function databasesOf(client: RedisClient, run: Run): Promise<readonly number[]> {
  const fields = parseInfo(await client.call(['INFO', 'keyspace'], run));
  const names = [...fields.keys()].flatMap((name) => /^db(\d+)$/.exec(name)?.[1] ?? []);
  return names.map(Number).sort((left, right) => left - right);
}

async function* scan(client: RedisClient, run: Run): AsyncGenerator<readonly Buffer[]> {
  let cursor: Uint8Array | string = '0';
  do {
    const reply = await client.call(['SCAN', cursor, 'COUNT', SCANNED_AT_ONCE], run);
    const [next, keys] = itemsOf(reply);
    if (!(next instanceof Uint8Array)) {
      throw unreachable(client.server, 'it answers SCAN with something else');
    }
    cursor = next;
    yield itemsOf(keys ?? null).flatMap((key) => (key instanceof Uint8Array ? [Buffer.from(key)] : []));
  } while (Buffer.from(cursor).toString() !== '0');
}

async function* groups(client: RedisClient, seen: SeenKeys, run: Run): AsyncGenerator<readonly Buffer[]> {
  for await (const keys of scan(client, run)) {
    const fresh = keys.filter((key) => seen.add(key));
    yield* groupsOf(client, fresh, run);
  }
}

/** Keys whose values fit into memory together; each alone where the server does not say how large they are. */
async function* groupsOf(client: RedisClient, keys: readonly Buffer[], run: Run): AsyncGenerator<readonly Buffer[]> {
  if (keys.length === 0) return;
  const sizes = await callAll(
    client,
    keys.map((key) => ['MEMORY', 'USAGE', key, 'SAMPLES', '5']),
    run,
  );
  let group: Buffer[] = [];
  let groupBytes = 0;
  for (const [index, key] of keys.entries()) {
    const size = sizes[index];
    const sizeBytes = typeof size === 'number' ? size : size === null ? 0 : GROUP_BYTES;
    if (group.length > 0 && groupBytes + sizeBytes > GROUP_BYTES) {
      yield group;
      [group, groupBytes] = [[], 0];
    }
    group.push(key);
    groupBytes += sizeBytes;
  }
  yield group;
}

type DumpedKey = { readonly key: Buffer; readonly payload: Uint8Array; readonly expiresAtMs: number };

/** Those that are still there. */
async function dumpKeys(client: RedisClient, keys: readonly Buffer[], run: Run): Promise<readonly DumpedKey[]> {
  // In one transaction, so that a value and its time belong together.
  const commands = keys.flatMap((key): readonly Command[] => [
    ['MULTI'],
    ['DUMP', key],
    ['PEXPIRETIME', key],
    ['EXEC'],
  ]);
  const replies = await callAll(client, commands, run);
  return keys.flatMap((key, index) => {
    const reply = replies[4 * index + 3];
    for (const each of replies.slice(4 * index, 4 * index + 4)) {
      if (each instanceof ErrorReply) throw refusal(client.server, each);
    }
    const [payload, expiresAtMs] = itemsOf(reply ?? null);
    for (const each of [payload, expiresAtMs]) if (each instanceof ErrorReply) throw refusal(client.server, each);
    if (!(payload instanceof Uint8Array) || typeof expiresAtMs !== 'number') return [];
    return [{ key, payload, expiresAtMs }];
  });
}

async function dumpFunctions(client: RedisClient, run: Run): Promise<Uint8Array> {
  const reply = await client.call(['FUNCTION', 'DUMP'], run).catch((error: unknown) => {
    if (!isUnknownCommand(error)) throw error;
    return new Uint8Array(FOOTER_BYTES);
  });
  return reply instanceof Uint8Array ? reply : new Uint8Array(FOOTER_BYTES);
}

/** Some services have no functions. */
function isUnknownCommand(error: unknown): boolean {
  const cause = isTidemarkError(error) ? error.cause : undefined;
  return cause instanceof ErrorReply && /unknown (?:sub)?command/i.test(cause.message);
}

async function callAll(client: RedisClient, commands: readonly Command[], run: Run): Promise<readonly Reply[]> {
  const bytes = Buffer.concat(commands.map((command) => encodeCommand(command)));
  return await client.send({ bytes, count: commands.length }, run);
}

/** SCAN may tell a key twice, which an RDB may not. On disk, so that memory does not grow with the keys. */
class SeenKeys implements Disposable {
  readonly #database: DatabaseSync;
  readonly #insert: ReturnType<DatabaseSync['prepare']>;

  constructor() {
    // Without a name it is a temporary file that SQLite removes by itself.
    this.#database = new DatabaseSync('');
    this.#database.exec('PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -16384');
    this.#database.exec('CREATE TABLE seen (name BLOB PRIMARY KEY) STRICT, WITHOUT ROWID');
    this.#insert = this.#database.prepare('INSERT OR IGNORE INTO seen VALUES (?)');
  }

  /** False for one that has been added before. */
  add(key: Uint8Array): boolean {
    return this.#insert.run(key).changes === 1;
  }

  clear(): void {
    this.#database.exec('DELETE FROM seen');
  }

  [Symbol.dispose](): void {
    this.#database.close();
  }
}

/** Writes an RDB of what DUMP gives: its payloads are what an RDB has for a value, with a footer. */
class RdbWriter {
  readonly #file: FileHandle;
  #version = LEAST_VERSION;

  constructor(file: FileHandle) {
    this.#file = file;
  }

  async begin(run: Run): Promise<void> {
    await this.#write([Buffer.alloc(HEADER_BYTES)], run);
  }

  /** As FUNCTION DUMP gives them, which is what an RDB has. */
  async functions(payload: Uint8Array, run: Run): Promise<void> {
    await this.#write([this.#body(payload)], run);
  }

  async select(database: number, run: Run): Promise<void> {
    await this.#write([Buffer.from([SELECT_DB]), lengthBytes(database)], run);
  }

  async keys(keys: readonly DumpedKey[], run: Run): Promise<void> {
    const pieces = keys.flatMap(({ key, payload, expiresAtMs }) => {
      const body = this.#body(payload);
      const expires = expiresAtMs < 0 ? [] : [expiryBytes(expiresAtMs)];
      return [...expires, body.subarray(0, 1), lengthBytes(key.byteLength), key, body.subarray(1)];
    });
    await this.#write(pieces, run);
  }

  async end(run: Run): Promise<void> {
    await this.#write([Buffer.from([END]), Buffer.alloc(8)], run);
    const header = Buffer.from(rdbHeader(this.#version));
    await writePieces(this.#file, [header], { run, offset: 0 });
    await this.#file.sync();
  }

  #body(payload: Uint8Array): Uint8Array {
    const end = payload.byteLength - FOOTER_BYTES;
    const version = (payload[end] ?? 0) | ((payload[end + 1] ?? 0) << 8);
    this.#version = Math.max(this.#version, version);
    return payload.subarray(0, end);
  }

  async #write(pieces: readonly Uint8Array[], run: Run): Promise<void> {
    await writePieces(this.#file, pieces, { run });
  }
}

function lengthBytes(length: number): Buffer {
  if (length < 1 << 6) return Buffer.from([length]);
  if (length < 1 << 14) return Buffer.from([0x40 | (length >> 8), length & 0xff]);
  const bytes = Buffer.alloc(5, 0x80);
  bytes.writeUInt32BE(length, 1);
  return bytes;
}

function expiryBytes(atMs: number): Buffer {
  const bytes = Buffer.alloc(9, EXPIRES_MS);
  bytes.writeBigInt64LE(BigInt(atMs), 1);
  return bytes;
}
