import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { suite, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { must } from '../../../src/core/must.ts';
import type { Position } from '../../../src/core/position.ts';
import { createSeededRandom } from '../../../src/flow/random.ts';
import { temporaryFolder } from '../../../src/testing/tree/temporary-folder.ts';
import { needs } from '../../servers/needs.ts';
import { startRedis } from '../../servers/redis.ts';
import { clientOf, fill } from './fill.ts';
import { record } from './captured.ts';
import { restore } from './restoring.ts';
import { assertSame, stateOf } from './state.ts';
import { HARMLESS, workload } from './workload.ts';

const run = { signal: new AbortController().signal };
const LIMIT_MS = 240_000;

type Moment = { readonly position: Position; readonly keys: ReadonlyMap<string, string>; readonly atMs: number };

suite('a Redis server', { ...needs('redis-server', 'redis-cli'), timeout: LIMIT_MS }, () => {
  test('is restored from its RDB alone', async () => {
    await using source = await startRedis();
    await using target = await startRedis();
    const seed = randomInt(2 ** 31);
    await fill(source, createSeededRandom(seed));
    await using recording = await record(source);
    const to = await recording.position();
    await using folder = temporaryFolder();
    await restore(target, { recording, to, workFolder: folder.at('work') });
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
        const words = must(commands.next().value, 'a command');
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
      await using folder = temporaryFolder();
      await restore(target, {
        recording,
        to: position,
        workFolder: folder.at('work'),
        context: { replace: index > 0 },
      });
      assertSame(await stateOf(target), keys, `moment ${index}, seed ${seed}`);
    }
  });
});
