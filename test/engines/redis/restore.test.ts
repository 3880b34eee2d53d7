import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { suite, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { openRedisRestorer } from '../../../src/connectors/redis/restorer.ts';
import type { RestorerContext } from '../../../src/core/connector.ts';
import type { Position } from '../../../src/core/position.ts';
import { createSeededRandom } from '../../../src/flow/random.ts';
import { temporaryFolder } from '../../../src/testing/tree/temporary-folder.ts';
import { needs } from '../../servers/needs.ts';
import { startRedis } from '../../servers/redis.ts';
import type { RedisServer } from '../../servers/redis.ts';
import { clientOf, digests, fill } from './fill.ts';
import { placeOf, record, runtime } from './captured.ts';
import type { Recording } from './captured.ts';
import { HARMLESS, workload } from './workload.ts';

const run = { signal: new AbortController().signal };
const LIMIT_MS = 240_000;

type Moment = { readonly position: Position; readonly keys: ReadonlyMap<string, string>; readonly atMs: number };

/** Everything that a client could see of a server, but for when keys expire. */
async function stateOf(server: RedisServer): Promise<ReadonlyMap<string, string>> {
  const found = new Map([...(await digests(server))].map(([key, { digest }]) => [key, digest]));
  await using client = await clientOf(server);
  for (const key of found.keys()) {
    const [database = '0', name = ''] = [key.slice(0, key.indexOf('/')), key.slice(key.indexOf('/') + 1)];
    await client.call(['SELECT', database], run);
    const bytes = Buffer.from(name, 'latin1');
    if ((await client.call(['TYPE', bytes], run)) !== 'stream') continue;
    found.set(`${key} in full`, textOf(await client.call(['XINFO', 'STREAM', bytes, 'FULL'], run)));
  }
  const libraries = await client.call(['FUNCTION', 'LIST', 'WITHCODE'], run);
  return found.set(
    'functions',
    (Array.isArray(libraries) ? libraries : [])
      .map(textOf)
      .toSorted((left, right) => (left < right ? -1 : 1))
      .join(' '),
  );
}

function textOf(reply: unknown): string {
  if (reply instanceof Uint8Array) return Buffer.from(reply).toString('latin1');
  if (!Array.isArray(reply)) return String(reply);
  const parts = reply.map(textOf);
  // How a stream lies in memory and when a consumer was seen is nothing that is stored; a server tells its replicas not always how much a group has read.
  const untold = /^(?:radix-tree|seen-time|active-time|entries-read|lag)/;
  return parts.filter((_, index) => !untold.test(parts[index % 2 === 0 ? index : index - 1] ?? '')).join(' ');
}

/** What differs, in few words. */
function assertSame(found: ReadonlyMap<string, string>, wanted: ReadonlyMap<string, string>, message: string): void {
  const names = new Set([...found.keys(), ...wanted.keys()]);
  const differing = [...names].filter((name) => found.get(name) !== wanted.get(name)).slice(0, 5);
  const told = differing.map((name) => {
    const [is, should] = [found.get(name) ?? 'nothing', wanted.get(name) ?? 'nothing'];
    const from = Math.max(0, [...is].findIndex((letter, at) => letter !== should[at]) - 60);
    return `${name}: ${is.slice(from, from + 150)} instead of ${should.slice(from, from + 150)}`;
  });
  assert.deepEqual(told, [], message);
  assert.ok(wanted.size > 1);
}

async function restore(
  target: RedisServer,
  { recording, to }: { readonly recording: Recording; readonly to: Position },
  more: Partial<RestorerContext> & { readonly expiry?: 'absolute' | 'remaining' } = {},
): Promise<void> {
  await using folder = temporaryFolder();
  const context = { runtime, id: 'abc', workFolder: folder.at('work'), ...more };
  await using restorer = openRedisRestorer(placeOf(target, more.expiry), context);
  await restorer.restoreBase(recording.base, run);
  await restorer.rollForward?.(recording.log(to), to, run);
  await restorer.verify(run);
  await restorer.swap(run);
}

suite('a Redis server', { ...needs('redis-server', 'redis-cli'), timeout: LIMIT_MS }, () => {
  test('is restored from its RDB alone', async () => {
    await using source = await startRedis();
    await using target = await startRedis();
    const seed = randomInt(2 ** 31);
    await fill(source, createSeededRandom(seed));
    await using recording = await record(source);
    const to = await recording.position();
    await restore(target, { recording, to });
    assertSame(await stateOf(target), await stateOf(source), `seed ${seed}`);
  });

  test('is restored to any command of its log', async () => {
    const seed = Number(process.env['TIDEMARK_TEST_SEED'] ?? randomInt(2 ** 31));
    const random = createSeededRandom(seed);
    await using source = await startRedis();
    await using client = await clientOf(source);
    const commands = workload(random);
    const work = async (count: number): Promise<void> => {
      for (let left = count; left > 0; left -= 1) {
        const words = commands.next().value ?? [];
        try {
          await client.call(words, run);
        } catch (error) {
          assert.match(String(error), HARMLESS, `${words.join(' ')}, seed ${seed}`);
        }
      }
    };
    await work(600);
    await using recording = await record(source);
    const moments: Moment[] = [];
    for (let count = 0; count < 8; count += 1) {
      await work(30 + random.integer(400));
      // What is to expire within milliseconds would do so while it is looked at.
      await sleep(50);
      moments.push({ keys: await stateOf(source), position: await recording.position(), atMs: Date.now() });
    }
    await using target = await startRedis();
    for (const [index, { position, keys }] of moments.entries()) {
      await restore(target, { recording, to: position }, { replace: index > 0 });
      assertSame(await stateOf(target), keys, `moment ${index}, seed ${seed}`);
    }
  });
});
