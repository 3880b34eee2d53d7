import assert from 'node:assert/strict';
import { test } from 'node:test';
import { encodeFrame, FrameReader } from './frames.ts';
import { addressOf, holdingsOf, parseClusterNodes } from './nodes.ts';
import { clusterPosition, parseClusterResume } from './positions.ts';
import { ownersOf, parseSlotRange, showSlotRanges, slotOf } from './slots.ts';

const [ONE, OTHER] = ['a'.repeat(40), 'b'.repeat(40)];

test('a key has the slot that servers say', () => {
  const slots = [
    '123456789',
    'foo',
    '{user1000}.following',
    'foo{}{bar}',
    'foo{{bar}}zap',
    'foo{bar}{zap}',
    '',
    '{}',
    '}{',
  ];
  assert.deepEqual(
    slots.map((key) => slotOf(Buffer.from(key))),
    [12739, 12182, 3443, 8363, 4015, 5061, 0, 15257, 12793],
  );
});

test('ranges of slots are read as they are written', () => {
  assert.deepEqual(['7', '0-5460', '16384', '9-3', 'x', '1-'].map(parseSlotRange), [
    [7, 7],
    [0, 5460],
    undefined,
    undefined,
    undefined,
    undefined,
  ]);
  assert.equal(
    showSlotRanges([
      [0, 5],
      [7, 7],
    ]),
    '0-5,7',
  );
  const owners = ownersOf([[[0, 5]], [[5, 6]]]);
  assert.deepEqual([...owners.subarray(4, 8)], [0, 1, 1, -1]);
});

test('a position says where each stream is, or nothing of them', () => {
  const vector = [
    { replId: ONE, offset: 17n },
    { replId: OTHER, offset: 0n },
  ];
  const position = clusterPosition('l', 40n, vector);
  assert.equal(position.resume, `cluster:40;${ONE}:17,${OTHER}:0`);
  assert.deepEqual(parseClusterResume(position.resume), { order: 40n, vector });
  assert.deepEqual(parseClusterResume('cluster:40'), { order: 40n, vector: undefined });
  for (const resume of [`${ONE}:17`, 'cluster:', 'cluster:40;x', `cluster:40;${ONE}:17,`]) {
    assert.equal(parseClusterResume(resume), undefined, resume);
  }
});

test('frames come out of a log as they went in, however it is cut', () => {
  const frames = [
    { shard: 0, offset: 5n, bytes: Buffer.from('abc') },
    { shard: 700, offset: 2n ** 40n, bytes: Buffer.of() },
    { shard: 1, offset: 0n, bytes: Buffer.from('x'.repeat(50)) },
  ];
  const log = Buffer.concat(frames.map(encodeFrame));
  for (const size of [1, 3, 14, 15, 1_000]) {
    const reader = new FrameReader();
    const found = new Map<string, string>();
    for (let at = 0; at < log.byteLength; at += size) {
      for (const { shard, offset, bytes } of reader.push(log.subarray(at, at + size))) {
        const begun = [...found.keys()].find((key) => key.startsWith(`${shard} `)) ?? `${shard} ${offset}`;
        found.set(begun, `${found.get(begun) ?? ''}${Buffer.from(bytes).toString()}`);
      }
    }
    assert.deepEqual(
      [...found],
      frames.map(({ shard, offset, bytes }) => [`${shard} ${offset}`, bytes.toString()]),
    );
  }
});

test('nodes are read as servers of all versions show them', () => {
  const text = [
    `${ONE} 10.0.0.1:7000@17000 myself,master - 0 0 3 connected 0-5460 7000 [93->-${OTHER}] [5-<-${OTHER}]`,
    `${OTHER} 10.0.0.2:7001@17001,redis-2.example,shard-id=x master,fail? - 0 1 4 connected 5461-6999`,
    `${'c'.repeat(40)} ::1:7002@17002 slave ${ONE} 0 1 3 connected`,
    `${'d'.repeat(40)} :0@0 master,fail,noaddr - 0 1 1 disconnected`,
    '',
  ].join('\n');
  const nodes = parseClusterNodes(text);
  const [first, second, replica, lost] = nodes;
  assert.ok(first?.isMyself && first.isMigrating && first.isImporting && first.epoch === 3n);
  assert.deepEqual(first.slots, [
    [0, 5460],
    [7000, 7000],
  ]);
  const via = { host: 'h', port: 1 };
  assert.deepEqual(second && addressOf(second, via, false), { host: '10.0.0.2', port: 7001 });
  assert.deepEqual(second && addressOf(second, via, true), { host: 'redis-2.example', port: 7001 });
  assert.ok(second?.isAway === false && !second.isMigrating);
  assert.deepEqual(replica && addressOf(replica, via, false), { host: '::1', port: 7002 });
  assert.ok(replica?.isMaster === false && lost?.isAway === true);
  assert.equal(holdingsOf(nodes), `${ONE} 0-5460,7000\n${OTHER} 5461-6999`);
});
