import type { SeededRandom } from '../../../src/flow/random.ts';
import { openClient } from '../../../src/connectors/redis/resp-client.ts';
import type { RedisClient } from '../../../src/connectors/redis/resp-client.ts';
import type { RedisServer } from '../../servers/redis.ts';

type Command = readonly (string | Uint8Array)[];

const run = { signal: new AbortController().signal };

/** A connection for plain commands. */
export async function clientOf(server: RedisServer): Promise<RedisClient> {
  return await openClient({ host: '127.0.0.1', port: server.port, password: async () => server.password }, run);
}

const LIBRARY = `#!lua name=shop\nredis.register_function('add', function(keys, args) return redis.call('INCRBY', keys[1], args[1]) end)`;
const LONG_LIBRARY = `#!lua name=long\n${'-- the same line again\n'.repeat(60)}redis.register_function('two', function() return 2 end)`;

/** Something in every encoding that the server writes, in several databases. */
export async function fill(server: RedisServer, random: SeededRandom): Promise<void> {
  const text = (size: number): string => Buffer.from(random.bytes(size)).toString('base64').slice(0, size);
  const many = (count: number, make: (index: number) => readonly (string | Uint8Array)[]) =>
    Array.from({ length: count }, (_, index) => make(index)).flat();
  const commands: Command[] = [
    ['SET', 'int8', '12'],
    ['SET', 'int16', '-1234'],
    ['SET', 'int32', '123456789'],
    ['SET', 'int64', '1234567890123456789'],
    ['SET', '77', 'the key is a number'],
    ['SET', '-70000', 'so is this'],
    ['SET', '', 'the key is empty'],
    ['SET', 'empty', ''],
    ['SET', Buffer.from([0, 255, 10, 13, 7]), random.bytes(300)],
    ['SET', `compressed key ${'x'.repeat(500)}`, 'y'.repeat(10_000)],
    ['SET', 'raw', random.bytes(70_000)],
    ['SET', 'large', random.bytes(3_000_000)],
    ['SET', 'large and compressed', 'abcdefgh'.repeat(500_000)],
    ['SET', 'soon', 'expires', 'PX', '86400000'],
    ['SET', 'later', 'expires', 'EXAT', '4102444800'],
    ['SETBIT', 'bits', '100000', '1'],
    ['PFADD', 'sparse', 'a', 'b', 'c'],
    ['PFADD', 'dense', ...many(3000, () => [text(12)])],
    ['GEOADD', 'places', '13.4', '52.5', 'Berlin', '2.3', '48.8', 'Paris'],
    ['RPUSH', 'list', 'a', 'b', '1', '-99999'],
    ['RPUSH', 'long list', ...many(2000, () => [text(random.integer(300))])],
    ['RPUSH', 'huge list', ...many(200_000, (index) => [`item ${index} ${text(8)}`])],
    ['SADD', 'intset16', '1', '2', '3'],
    ['SADD', 'intset64', '1', '9007199254740993', '-5'],
    ['SADD', 'set', ...many(20, () => [text(20)])],
    ['SADD', 'large set', ...many(3000, () => [text(30)])],
    ['ZADD', 'sorted', '1.5', 'a', '-inf', 'b', '+inf', 'c'],
    ['ZADD', 'large sorted', ...many(1000, (index) => [String(index / 3), text(30)])],
    ['HSET', 'hash', 'a', '1', 'b', text(30)],
    ['HSET', 'large hash', ...many(1000, () => [text(20), text(random.integer(200))])],
    ['XADD', 'stream', '1-1', 'field', 'value'],
    ...(many(500, (index) => [
      ['XADD', 'stream', `2-${index}`, 'n', String(index), 'text', text(20)] as never,
    ]) as unknown as Command[]),
    ['XDEL', 'stream', '2-3', '2-7'],
    ['XGROUP', 'CREATE', 'stream', 'group', '0'],
    ['XGROUP', 'CREATE', 'stream', 'other', '$', 'ENTRIESREAD', '5'],
    ['XGROUP', 'CREATECONSUMER', 'stream', 'group', 'idle one'],
    ['XREADGROUP', 'GROUP', 'group', 'first', 'COUNT', '200', 'STREAMS', 'stream', '>'],
    ['XREADGROUP', 'GROUP', 'group', 'second', 'COUNT', '50', 'STREAMS', 'stream', '>'],
    ['XACK', 'stream', 'group', '1-1', '2-1', '2-2'],
    ['XGROUP', 'CREATE', 'empty stream', 'group', '$', 'MKSTREAM'],
    ['FUNCTION', 'LOAD', LIBRARY],
    ['FUNCTION', 'LOAD', LONG_LIBRARY],
    ['SELECT', '3'],
    ['SET', 'int8', 'in another database'],
    ['SELECT', '15'],
    ...(many(500, (index) => [
      ['SET', `key:${index}`, text(random.integer(40)), ...(index % 3 ? ['EX', String(10_000 + index)] : [])] as never,
    ]) as unknown as Command[]),
    ['SELECT', '0'],
    ['DEBUG', 'quicklist-packed-threshold', '100b'],
    ['RPUSH', 'plain nodes', 'small', text(200), text(5000), 'small'],
    ['DEBUG', 'quicklist-packed-threshold', '0'],
  ];
  await server.pipe(commands);
}

/** The digest of every key's value, and its expiry, by database and name. */
export async function digests(
  server: RedisServer,
  databases = 16,
): Promise<ReadonlyMap<string, { digest: string; expiresAtMs: number }>> {
  await using client = await clientOf(server);
  const found = new Map<string, { digest: string; expiresAtMs: number }>();
  for (let database = 0; database < databases; database += 1) {
    await client.call(['SELECT', String(database)], run);
    const keys = listOf(await client.call(['KEYS', '*'], run));
    const ask = async (words: readonly string[]) =>
      await Promise.all(keys.map(async (key) => await client.call([...words, key as Uint8Array], run)));
    const values = await ask(['DEBUG', 'DIGEST-VALUE']);
    const expiries = await ask(['PEXPIRETIME']);
    for (const [index, key] of keys.entries()) {
      const name = `${database}/${Buffer.from(key as Uint8Array).toString('latin1')}`;
      found.set(name, { digest: String(listOf(values[index])), expiresAtMs: Number(expiries[index]) });
    }
  }
  return found;
}

function listOf(reply: unknown): readonly unknown[] {
  return Array.isArray(reply) ? reply : [];
}
