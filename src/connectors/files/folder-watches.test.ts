import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { test } from 'node:test';
import { temporaryFolder } from '../../testing/tree/temporary-folder.ts';
import { noWatcher } from './folder-watcher.ts';
import { FolderWatches } from './folder-watches.ts';

test('of folders that no watch is left for those at the top are named, and what lies in one that gets a watch is named itself', async () => {
  await using folder = temporaryFolder();
  mkdirSync(folder.at('state'));
  const watched = new Set<string>();
  using watches = new FolderWatches({
    markerFolder: folder.at('state', 'barrier'),
    logger: { log() {} },
    onHint() {},
    onLost() {},
    onTurn() {},
    openWatcher: () => ({ ...noWatcher(), add: (path) => (watched.has(path) ? 1 : undefined) }),
  });
  const walk = (): void => {
    for (const name of ['a', 'a\0b', 'a\0b\0c', 'a\0d', 'ab']) watches.watch(name, name, false);
  };
  walk();
  assert.deepEqual([...watches.unwatched], ['a', 'ab']);
  watched.add('a');
  walk();
  assert.deepEqual([...watches.unwatched].toSorted(), ['a\0b', 'a\0d', 'ab']);
});
