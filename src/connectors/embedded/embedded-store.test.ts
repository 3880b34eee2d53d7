import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import fs, { writeFileSync } from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { test } from 'node:test';
import fc from 'fast-check';
import { compareBytes } from '../../core/bytes.ts';
import type { Batch } from '../../core/change.ts';
import { must } from '../../core/must.ts';
import { createVirtualClock } from '../../flow/virtual-clock.ts';
import { temporaryFolder } from '../../testing/tree/temporary-folder.ts';
import type { EmbeddedStore } from './embedded-store.ts';
import { openEmbedded } from './embedded-store.ts';
import type { EmbeddedEntry } from './reading.ts';

const QUICK = { durability: 'normal' } as const;

function textOf(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString();
}

function keysOf(entries: Iterable<EmbeddedEntry>): readonly string[] {
  return [...entries].map(({ key }) => textOf(key));
}

test('what is put is there, with the revision of its last change and of the one that made it', async () => {
  await using folder = temporaryFolder();
  using store = openEmbedded(folder.at('store.db'), QUICK);
  assert.equal(store.revision, 0);
  assert.equal(store.put('user/1', 'Ada'), 1);
  assert.equal(store.put('user/2', Buffer.from([0xff, 0])), 2);
  assert.equal(store.put('user/1', 'Ada Lovelace'), 3);
  assert.equal(store.getText('user/1'), 'Ada Lovelace');
  assert.deepEqual(store.get('user/2'), new Uint8Array([0xff, 0]));
  assert.deepEqual(store.entry('user/1'), {
    key: new Uint8Array(Buffer.from('user/1')),
    value: new Uint8Array(Buffer.from('Ada Lovelace')),
    revision: 3,
    created: 1,
  });
  assert.equal(store.get('user/3'), undefined);
  assert.equal(store.delete('user/1'), 4);
  assert.equal(store.delete('user/1'), undefined);
  assert.equal(store.get('user/1'), undefined);
});

test('an empty value is a value, an empty key is none', async () => {
  await using folder = temporaryFolder();
  using store = openEmbedded(folder.at('store.db'), QUICK);
  store.put('k', '');
  store.put('bytes', new Uint8Array(0));
  assert.deepEqual([store.getText('k'), store.get('bytes')?.byteLength], ['', 0]);
  assert.throws(() => store.put('', 'v'), { name: 'TypeError' });
  assert.throws(() => store.put('\ud800', 'v'), { name: 'TypeError' });
  store.put('bad', Buffer.of(0xff));
  assert.throws(() => store.getText('bad'), { name: 'TypeError' });
});

test('a write that wants a revision happens only at that revision', async () => {
  await using folder = temporaryFolder();
  using store = openEmbedded(folder.at('store.db'), QUICK);
  const first = must(store.put('k', '1', { ifRevision: 0 }), 'it is new');
  assert.equal(store.put('k', '2', { ifRevision: 0 }), undefined);
  assert.equal(store.put('k', '2', { ifRevision: first + 1 }), undefined);
  assert.equal(store.getText('k'), '1');
  const second = must(store.put('k', '2', { ifRevision: first }), 'it is at that revision');
  assert.equal(store.delete('k', { ifRevision: first }), undefined);
  assert.equal(store.delete('k', { ifRevision: second }), second + 1);
});

test('a transaction becomes visible whole or not at all', async () => {
  await using folder = temporaryFolder();
  const path = folder.at('store.db');
  using store = openEmbedded(path, QUICK);
  using other = openEmbedded(path, QUICK);
  store.put('a', '1');
  const seen = store.transaction((transaction) => {
    transaction.put('a', '2');
    transaction.put('b', '1');
    assert.deepEqual([transaction.getText('a'), other.getText('a'), other.get('b')], ['2', '1', undefined]);
    return keysOf(transaction.range());
  });
  assert.deepEqual(seen, ['a', 'b']);
  assert.deepEqual([other.getText('a'), other.getText('b'), other.revision], ['2', '1', 3]);
  const failure = new Error('no');
  assert.throws(
    () =>
      store.transaction((transaction) => {
        transaction.put('a', '3');
        throw failure;
      }),
    failure,
  );
  assert.deepEqual([store.getText('a'), store.revision], ['2', 3]);
  assert.throws(() => store.transaction(() => store.put('x', '1')), /a transaction within a transaction/);
  assert.throws(() => store.transaction(async () => undefined), /synchronous/);
  assert.equal(store.put('a', '4'), 4);
});

test('ranges are in the order of bytes, within prefix and bounds, from either end', async () => {
  await using folder = temporaryFolder();
  using store = openEmbedded(folder.at('store.db'), QUICK);
  const bytes = fc
    .uint8Array({ minLength: 1, maxLength: 3 })
    .map((key) => key.map((byte) => [0, 1, 97, 255][byte % 4] ?? 0));
  const range = fc.record({ prefix: bytes, from: bytes, before: bytes, reverse: fc.boolean() });
  fc.assert(
    fc.property(fc.array(bytes, { maxLength: 600 }), range, (keys, options) => {
      const { prefix, from, before, reverse } = options;
      store.transaction((transaction) => {
        transaction.deletePrefix('');
        for (const key of keys) transaction.put(key, key);
      });
      const all = [...new Set(keys.map((key) => Buffer.from(key).toString('hex')))].map((hex) =>
        Buffer.from(hex, 'hex'),
      );
      const expected = all
        .filter((key) => compareBytes(key.subarray(0, prefix.byteLength), prefix) === 0)
        .filter((key) => compareBytes(key, from) >= 0 && compareBytes(key, before) < 0)
        .sort(compareBytes);
      const found = [...store.range(options)].map(({ key }) => Buffer.from(key));
      assert.deepEqual(found, reverse ? expected.reverse() : expected);
    }),
    { numRuns: 40 },
  );
  store.transaction((transaction) => {
    transaction.deletePrefix('');
    for (let index = 0; index < 1_000; index++) transaction.put(`k${String(index).padStart(4, '0')}`, '');
  });
  assert.equal([...store.range()].length, 1_000);
  assert.deepEqual(keysOf(store.range({ limit: 2, reverse: true })), ['k0999', 'k0998']);
});

test('what expires is gone when its time has come, and that is a change', async () => {
  await using folder = temporaryFolder();
  const clock = createVirtualClock(1_000_000);
  using store = openEmbedded(folder.at('store.db'), { ...QUICK, clock });
  store.put('session', 'x', { ttlMs: 60_000 });
  store.put('stays', 'y');
  assert.equal(store.entry('session')?.expiresAtMs, 1_060_000);
  await clock.advance(59_999);
  assert.equal(store.getText('session'), 'x');
  await clock.advance(1);
  assert.equal(store.get('session'), undefined);
  assert.deepEqual(keysOf(store.range()), ['stays']);
  assert.equal(store.revision, 2);
  assert.equal(store.put('session', 'z', { ifRevision: 0 }), 4);
  assert.equal(store.entry('session')?.created, 4);
  assert.equal(store.removeExpired(), 0);
  store.transaction((transaction) => {
    for (let index = 0; index < 50; index++) transaction.put(`short/${index}`, '', { ttlMs: 0.5 });
  });
  await clock.advance(1);
  assert.equal(store.removeExpired(), 50);
  assert.equal(store.revision, 104);
});

test('reads of one moment may be within each other, writes may not be within them', async () => {
  await using folder = temporaryFolder();
  using store = openEmbedded(folder.at('store.db'), QUICK);
  store.put('k', '1');
  assert.equal(
    store.read((reader) => store.read(() => reader.text('k'))),
    '1',
  );
  assert.throws(() => store.read(() => store.put('k', '2')), { name: 'TypeError' });
  assert.equal(store.getText('k'), '1');
});

test('where the kernel can’t tell of changes a watch looks by itself', async (t) => {
  await using folder = temporaryFolder();
  using store = openEmbedded(folder.at('store.db'), QUICK);
  const refuse = (): never => {
    throw Object.assign(new Error('ENOSPC: no more watches'), { code: 'ENOSPC', syscall: 'watch' });
  };
  const { watch: working } = fs;
  Object.assign(fs, { watch: refuse });
  syncBuiltinESMExports();
  try {
    setImmediate(() => store.put('k', '1'));
    for await (const { changes } of store.watch({ after: 0 }, t)) {
      if (changes.length === 0) continue;
      assert.equal(changes.length, 1);
      break;
    }
  } finally {
    Object.assign(fs, { watch: working });
    syncBuiltinESMExports();
  }
});

test('a watch sees each transaction once, with values before and after', async (t) => {
  await using folder = temporaryFolder();
  using store = openEmbedded(folder.at('store.db'), QUICK);
  store.put('a', '1');
  const after = store.revision;
  store.transaction((transaction) => {
    transaction.put('a', '2');
    transaction.put('other', '1');
  });
  store.delete('a');
  const seen: string[] = [];
  for await (const { changes, commit } of store.watch({ after, prefix: 'a' }, t)) {
    for (const change of changes) {
      const value = change.op === 'put' ? textOf(change.value) : 'gone';
      seen.push(`${textOf(change.key.bytes)}: ${textOf(change.previous ?? Buffer.from('nothing'))} → ${value}`);
    }
    if (commit?.position.resume === String(store.revision)) break;
  }
  assert.deepEqual(seen, ['a: 1 → 2', 'a: 2 → gone']);
});

test('compacting keeps transactions whole, and tells who is behind', async (t) => {
  await using folder = temporaryFolder();
  using store = openEmbedded(folder.at('store.db'), QUICK);
  store.put('a', '1');
  store.transaction((transaction) => {
    for (const key of ['b', 'c', 'd']) transaction.put(key, '1');
  });
  store.put('e', '1');
  const next = async (after: number): Promise<Batch | undefined> => {
    for await (const batch of store.watch({ after }, t)) return batch;
    return undefined;
  };
  store.compact(3);
  assert.equal((await next(1))?.changes.length, 3);
  await assert.rejects(next(0), { code: 'POSITION_LOST', disposition: 'resync' });
  store.compact(4);
  await assert.rejects(next(1), { code: 'POSITION_LOST' });
  assert.equal((await next(4))?.changes.length, 1);
  store.compact(99);
  assert.equal(store.revision, 5);
  assert.equal(store.put('f', '1'), 6);
});

test('old changes are compacted as new ones come', async () => {
  await using folder = temporaryFolder();
  using store = openEmbedded(folder.at('store.db'), { ...QUICK, changesKept: 100 });
  for (let index = 0; index < 3_000; index++) store.put(`k${index % 10}`, String(index));
  const begin = async (after: number): Promise<void> => {
    for await (const _ of store.watch({ after }, { signal: AbortSignal.timeout(10_000) })) return;
  };
  await assert.rejects(begin(1_000), { code: 'POSITION_LOST' });
  await begin(2_950);
});

const WRITER = `
  import { openEmbedded } from ${JSON.stringify(new URL('./embedded-store.ts', import.meta.url).href)};
  using store = openEmbedded(process.argv[1], { durability: 'normal' });
  for (let index = 0; index < 300; index++) {
    store.transaction((transaction) => {
      transaction.put('counter', String(Number(transaction.getText('counter') ?? 0) + 1));
    });
  }
`;

test('several processes write and watch one store at once, and none loses anything', async (t) => {
  await using folder = temporaryFolder();
  const path = folder.at('store.db');
  using store = openEmbedded(path, QUICK);
  const writers = [1, 2, 3].map(() =>
    spawn(process.execPath, ['--input-type=module-typescript', '--eval', WRITER, path], {
      stdio: ['ignore', 'ignore', 'inherit'],
    }),
  );
  const ended = Promise.all(writers.map(async (writer) => must((await once(writer, 'exit'))[0], 'it ends') as number));
  let last = 0;
  for await (const { changes } of store.watch({ after: 0 }, t)) {
    for (const change of changes) {
      assert.equal(change.op === 'put' && textOf(change.value), String(++last));
    }
    if (last === 900) break;
  }
  assert.deepEqual(
    (await ended).filter((status) => status !== 0),
    [],
  );
  assert.equal(store.getText('counter'), '900');
});

test('a file that is something else is refused and stays as it is', async () => {
  await using folder = temporaryFolder();
  writeFileSync(folder.at('text.db'), 'a text, long enough to be no database of any kind'.repeat(100));
  assert.throws(() => openEmbedded(folder.at('text.db')), {
    code: 'STORE_UNREACHABLE',
    message: /is not an embedded store/,
  });
  assert.throws(() => openEmbedded(folder.at('none.db'), { mustExist: true }), {
    code: 'STORE_UNREACHABLE',
    message: /is not there/,
  });
  assert.throws(() => openEmbedded(folder.at('no/such/folder.db')), { code: 'STORE_UNREACHABLE' });
});

test('a store that is held for too long is busy, and goes on afterwards', async () => {
  await using folder = temporaryFolder();
  const path = folder.at('store.db');
  using holder = openEmbedded(path, QUICK);
  using waiting = openEmbedded(path, { ...QUICK, busyTimeoutMs: 50 });
  holder.transaction((transaction) => {
    transaction.put('k', '1');
    assert.throws(() => waiting.put('k', '2'), { code: 'BUSY', disposition: 'retry' });
  });
  assert.equal(waiting.put('k', '2'), 2);
});

test('a closed store may be closed again, and does nothing else', async () => {
  await using folder = temporaryFolder();
  const store: EmbeddedStore = openEmbedded(folder.at('store.db'), QUICK);
  store[Symbol.dispose]();
  store[Symbol.dispose]();
  assert.throws(() => store.put('k', 'v'), /after it was closed/);
  assert.throws(() => [...store.range()], /after it was closed/);
});
