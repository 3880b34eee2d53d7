import assert from 'node:assert/strict';
import { test } from 'node:test';
import { must } from '../../../src/core/must.ts';
import { FrameReader } from '../../../src/connectors/redis/cluster/frames.ts';
import { parseClusterResume } from '../../../src/connectors/redis/cluster/positions.ts';
import { recordInMemory } from '../../../src/testing/tree/memory-base.ts';
import { needs } from '../../servers/needs.ts';
import { startRedisCluster } from '../../servers/redis-cluster.ts';
import type { RedisCluster } from '../../servers/redis-cluster.ts';
import { begin, follow, head, urlOf } from './cluster.ts';
import { forever, openAt, placeOfUrl, runtime } from './recording.ts';

const options = { ...needs('redis-server', 'redis-cli'), timeout: 120_000 };

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
