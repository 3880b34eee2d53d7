import assert from 'node:assert/strict';
import { renameSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { createSystemClock } from '../../flow/clock.ts';
import { EVERYTHING } from '../../core/source.ts';
import { temporaryFolder } from '../../testing/tree/temporary-folder.ts';
import { openEmbedded } from './connector.ts';
import { openEmbeddedSource } from './source.ts';

const run = { signal: new AbortController().signal };
const runtime = { clock: createSystemClock() };

test('another file in the place of a store is noticed by a head and by a feed, also while it is written to all the time', async () => {
  await using folder = temporaryFolder();
  using first = openEmbedded(folder.at('a.db'));
  first.put('k', '1');
  await using source = openEmbeddedSource({ file: folder.at('a.db') }, runtime);
  const after = await source.head(run);
  await using feed = await source.openFeed(EVERYTHING, after, run);
  const found: string[] = [];
  const reading = (async () => {
    for await (const batches of feed) {
      for (const { changes } of batches) found.push(...changes.map((change) => change.op));
    }
  })();
  first.put('k', '2');
  for (const suffix of ['', '-wal', '-shm']) renameSync(folder.at(`a.db${suffix}`), folder.at(`b.db${suffix}`));
  using other = openEmbedded(folder.at('a.db'));
  let isOver = false;
  const writing = (async () => {
    for (let count = 0; !isOver; count++) {
      other.put('count', String(count));
      await sleep(5);
    }
  })();
  await assert.rejects(Promise.race([reading, sleep(5_000)]), { code: 'POSITION_LOST' });
  isOver = true;
  await writing;
  assert.deepEqual(found, ['put'], 'what came before it is not lost');
  await assert.rejects(source.head(run), { code: 'POSITION_LOST' });
});

test('a feed has heartbeats also while the kernel tells of something all the time', async () => {
  await using folder = temporaryFolder();
  using store = openEmbedded(folder.at('a.db'));
  store.put('k', '1');
  await using source = openEmbeddedSource({ file: folder.at('a.db') }, runtime);
  const after = await source.head(run);
  await using feed = await source.openFeed(EVERYTHING, after, run);
  let isOver = false;
  const hinting = (async () => {
    while (!isOver) {
      writeFileSync(folder.at('a.db-other'), '');
      await sleep(5);
    }
  })();
  const first = (async () => {
    for await (const batches of feed) return batches;
    return undefined;
  })();
  const beat = await Promise.race([first, sleep(10_000)]);
  isOver = true;
  await hinting;
  assert.deepEqual(beat?.[0]?.commit?.position, after);
});

test('a store whose file is away can’t be reached, and is followed on when the same file is back', async () => {
  await using folder = temporaryFolder();
  using store = openEmbedded(folder.at('a.db'));
  store.put('k', '1');
  await using source = openEmbeddedSource({ file: folder.at('a.db') }, runtime);
  const after = await source.head(run);
  const move = (from: string, to: string): void => {
    for (const suffix of ['', '-wal', '-shm']) renameSync(folder.at(`${from}${suffix}`), folder.at(`${to}${suffix}`));
  };
  move('a.db', 'b.db');
  await assert.rejects(source.head(run), { code: 'STORE_UNREACHABLE' });
  {
    await using feed = await source.openFeed(EVERYTHING, after, run);
    await assert.rejects(Array.fromAsync(feed), { code: 'STORE_UNREACHABLE' });
  }
  store.put('k', '2');
  move('b.db', 'a.db');
  await using feed = await source.openFeed(EVERYTHING, after, run);
  for await (const [batch] of feed) {
    assert.deepEqual(batch?.changes.length, 1);
    break;
  }
});
