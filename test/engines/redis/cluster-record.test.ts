import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isTidemarkError } from '../../../src/core/errors.ts';
import { must } from '../../../src/core/must.ts';
import type { Position } from '../../../src/core/position.ts';
import type { Recorder } from '../../../src/core/recorder.ts';
import { FrameReader } from '../../../src/connectors/redis/cluster/frames.ts';
import { parseClusterResume } from '../../../src/connectors/redis/cluster/positions.ts';
import { recordInMemory } from '../../../src/testing/tree/memory-base.ts';
import { needs } from '../../servers/needs.ts';
import { startRedisCluster } from '../../servers/redis-cluster.ts';
import type { RedisCluster } from '../../servers/redis-cluster.ts';
import { Followed, forever, openAt, placeOfUrl, runtime } from './recording.ts';

const options = { ...needs('redis-server', 'redis-cli'), timeout: 120_000 };

async function begin(recorder: Recorder): Promise<Position> {
  return await must(recorder.begin, 'a beginning').call(recorder, forever);
}

async function head(recorder: Recorder): Promise<Position> {
  return await must(recorder.head, 'a head').call(recorder, forever);
}

async function follow(recorder: Recorder, after: Position): Promise<Followed> {
  return new Followed(await must(recorder.openLog, 'a log').call(recorder, after, forever));
}

function urlOf(cluster: RedisCluster): string {
  return must(cluster.servers[0], 'a node').url;
}

async function write(cluster: RedisCluster, name: string, count: number): Promise<void> {
  const lines = Array.from({ length: count }, (_, index) => `SET ${name}:${index} ${index}`);
  for (let at = 0; at < count; at += 1) await cluster.call(...must(lines[at], 'a line').split(' '));
}

test('the streams of all masters are one history', options, async () => {
  await using cluster = await startRedisCluster();
  await write(cluster, 'before', 20);
  await using recorder = await openAt(placeOfUrl(urlOf(cluster)));
  const from = await begin(recorder);
  await using followed = await follow(recorder, from);
  const base = await recordInMemory(await recorder.openBase(forever), forever);
  assert.deepEqual([base.end.logFrom, base.end.cut], [from, from]);
  await write(cluster, 'after', 20);
  const position = await head(recorder);
  await followed.upTo(position);
  assert.deepEqual(followed.last, position);
  const text = Array.from(new FrameReader().push(followed.bytes(from)), ({ bytes }) => Buffer.from(bytes).toString());
  for (let index = 0; index < 20; index += 1) assert.match(text.join(''), new RegExp(`after:${index}\\r`));
  assert.equal(parseClusterResume(position.resume)?.vector?.length, 3);
  // It stands still while nobody writes.
  assert.deepEqual(await head(recorder), position);
  await runtime.clock.sleep(1_500, forever);
  assert.deepEqual([await head(recorder), followed.last], [position, position]);
  const later = await recordInMemory(await recorder.openBase(forever), forever);
  assert.ok(later.end.logFrom.order <= later.end.cut.order);
});
