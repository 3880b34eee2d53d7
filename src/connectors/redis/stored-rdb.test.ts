import assert from 'node:assert/strict';
import { test } from 'node:test';
import { undecodable } from '../../core/entry-check.ts';
import type { StoredEntry } from '../../core/restorer.ts';
import { memoryContent, memoryReader } from '../../testing/tree/memory-base.ts';
import { encodeOrigin, RDB_ENTRY, shardEntry } from './base.ts';
import type { RdbOrigin } from './base.ts';
import { createCrc64 } from './rdb/crc64.ts';
import { checkContents, checkEntry } from './stored-rdb.ts';

const run = { signal: new AbortController().signal };
const ORIGIN: RdbOrigin = { server: 'redis', version: '7.2.4', replId: 'a'.repeat(40), offset: '12' };

/** An RDB with what stands between its header and its checksum. */
function rdb(...bytes: readonly number[]): Buffer {
  const whole = Buffer.concat([Buffer.from('REDIS0011'), Buffer.from(bytes), Buffer.alloc(9, 0xff)]);
  const crc = createCrc64();
  crc.update(whole.subarray(0, -8));
  crc.write(whole, whole.byteLength - 8);
  return whole;
}

function entry(name: string, origin: RdbOrigin | Uint8Array = ORIGIN, content: Uint8Array | null = rdb()): StoredEntry {
  const attributes = origin instanceof Uint8Array ? origin : encodeOrigin(origin);
  return { name: Buffer.from(name), attributes, content: content === null ? undefined : memoryContent(content) };
}

test('the RDB of a server, and of each shard of a cluster, can be decoded', () => {
  for (const good of [
    entry(RDB_ENTRY),
    entry(RDB_ENTRY, { server: 'valkey', version: '8.0.0' }),
    entry(shardEntry(12), { ...ORIGIN, slots: '' }),
  ]) {
    assert.equal(undecodable(checkEntry, good), undefined);
  }
});

test('what a restore takes for no RDB can’t be decoded', () => {
  for (const bad of [
    entry(RDB_ENTRY, ORIGIN, null),
    entry(RDB_ENTRY, Buffer.from('{"format":2}')),
    entry(RDB_ENTRY, { ...ORIGIN, offset: 'twelve' }),
    entry(shardEntry(1)),
    entry(shardEntry(1), { ...ORIGIN, offset: undefined, slots: '7' }),
    entry('shards/one', { ...ORIGIN, slots: '7' }),
  ]) {
    assert.equal(undecodable(checkEntry, bad)?.code, 'REPOSITORY_DAMAGED');
  }
});

test('RDBs are gone through to their end, in a base of a server and in one of a cluster', async () => {
  const shard = (number: number, content: Uint8Array): StoredEntry =>
    entry(shardEntry(number), { ...ORIGIN, slots: '7' }, content);
  await checkContents(memoryReader([entry(RDB_ENTRY)]), run);
  await checkContents(memoryReader([shard(0, rdb()), shard(1, rdb())]), run);
  // 27 is a type of values that came later.
  const later = rdb(27, 1, 0x61);
  for (const all of [[entry(RDB_ENTRY, ORIGIN, later)], [shard(0, rdb()), shard(1, later)]]) {
    await assert.rejects(checkContents(memoryReader(all), run), { code: 'UNSUPPORTED' });
  }
  const cut = entry(RDB_ENTRY, ORIGIN, rdb().subarray(0, -1));
  for (const all of [[cut], []]) {
    await assert.rejects(checkContents(memoryReader(all), run), { code: 'REPOSITORY_DAMAGED' });
  }
});
