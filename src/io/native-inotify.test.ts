import assert from 'node:assert/strict';
import { appendFileSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { temporaryFolder } from '../testing/tree/temporary-folder.ts';
import {
  IN_CREATE,
  IN_IGNORED,
  IN_ISDIR,
  IN_MODIFY,
  IN_MOVED_FROM,
  IN_MOVED_TO,
  IN_Q_OVERFLOW,
  Inotify,
} from './native-inotify.ts';
import type { InotifyEvent } from './native-inotify.ts';

type Queue = { readonly events: InotifyEvent[]; readonly queue: Inotify; turns: number };

function openQueue(): Queue & Disposable {
  const events: InotifyEvent[] = [];
  const opened = { events, turns: 0 };
  const queue = new Inotify(
    (event) => events.push(event),
    () => {
      opened.turns++;
    },
  );
  return Object.assign(opened, { queue, [Symbol.dispose]: () => queue[Symbol.dispose]() });
}

test('an event is there when the call that caused it has returned, with its name byte for byte', async () => {
  await using folder = temporaryFolder();
  using opened = openQueue();
  const watch = opened.queue.add(Buffer.from(folder.path));
  const name = Buffer.from([0x66, 0xff, 0x0a, 0x78]);
  writeFileSync(Buffer.concat([Buffer.from(`${folder.path}/`), name]), 'text');
  opened.queue.drain();
  assert.ok(opened.events.every((event) => event.watch === watch && event.name === name.toString('latin1')));
  assert.ok(opened.events.some(({ mask }) => (mask & IN_CREATE) !== 0));
  assert.ok(opened.events.some(({ mask }) => (mask & IN_MODIFY) !== 0));
});

test('both ends of a rename have one cookie, and a folder is told as one', async () => {
  await using folder = temporaryFolder();
  using opened = openQueue();
  for (const name of ['a', 'b', 'a/inner']) mkdirSync(folder.at(name));
  for (const name of ['a', 'b']) opened.queue.add(Buffer.from(folder.at(name)));
  renameSync(folder.at('a', 'inner'), folder.at('b', 'moved'));
  opened.queue.drain();
  const [from, to] = opened.events;
  assert.deepEqual([from?.mask, from?.name], [IN_MOVED_FROM | IN_ISDIR, 'inner']);
  assert.deepEqual([to?.mask, to?.name], [IN_MOVED_TO | IN_ISDIR, 'moved']);
  assert.ok(from?.cookie !== 0 && from?.cookie === to?.cookie);
});

test('events come by themselves in a turn of the event loop', async () => {
  await using folder = temporaryFolder();
  using opened = openQueue();
  opened.queue.add(Buffer.from(folder.path));
  writeFileSync(folder.at('file'), 'text');
  while (opened.turns === 0) await nextTurn();
  assert.ok(opened.events.length > 0);
});

test('a folder has one watch under all its names, and its number is not used again', async () => {
  await using folder = temporaryFolder();
  using opened = openQueue();
  mkdirSync(folder.at('a'));
  const watch = opened.queue.add(Buffer.from(folder.at('a')));
  renameSync(folder.at('a'), folder.at('b'));
  assert.equal(opened.queue.add(Buffer.from(folder.at('b'))), watch);
  rmSync(folder.at('b'), { recursive: true });
  opened.queue.drain();
  assert.ok(opened.events.some((event) => event.watch === watch && (event.mask & IN_IGNORED) !== 0));
  mkdirSync(folder.at('b'));
  assert.notEqual(opened.queue.add(Buffer.from(folder.at('b'))), watch);
  assert.throws(() => opened.queue.add(Buffer.from(folder.at('a'))), { code: 'ENOENT' });
});

test('a queue that is full says so', async () => {
  await using folder = temporaryFolder();
  using opened = openQueue();
  opened.queue.add(Buffer.from(folder.path));
  writeFileSync(folder.at('a'), '');
  writeFileSync(folder.at('b'), '');
  // Nothing is read as long as this loop goes. Two files in turn, because an event that is the same as the one before is not queued.
  for (let count = 0; count < 10_000; count++) {
    appendFileSync(folder.at('a'), 'x');
    appendFileSync(folder.at('b'), 'x');
  }
  opened.queue.drain();
  const last = opened.events.at(-1);
  assert.deepEqual([last?.watch, last?.mask], [-1, IN_Q_OVERFLOW]);
});

test('a queue may be disposed twice, and tells nothing afterwards', async () => {
  await using folder = temporaryFolder();
  const opened = openQueue();
  opened.queue.add(Buffer.from(folder.path));
  writeFileSync(folder.at('file'), 'text');
  opened.queue[Symbol.dispose]();
  opened.queue[Symbol.dispose]();
  await nextTurn();
  await nextTurn();
  assert.deepEqual(opened.events, []);
});
