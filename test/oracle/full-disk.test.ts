import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { checkAll } from './check.ts';
import { LONGER, openWorld, until } from './world.ts';
import type { World } from './world.ts';

/** All can be recorded before anything is written to it. */
const EMPTY = `  orders: { url: embedded:./orders.db, references: [uploads], allowEmpty: true }
  catalog: { url: embedded:./catalog.db, allowEmpty: true }
  uploads: files:./uploads
`;

/** A shell in which it may mount, where this machine allows that to anybody. */
const INSIDE = ['unshare', '--user', '--map-root-user', '--mount', '--pid', '--fork', '--kill-child', 'sh', '-c'];
const mayMount = spawnSync('unshare', [...INSIDE.slice(1), 'mount -t tmpfs none /mnt']).status === 0;
const noMount = mayMount ? false : 'nobody may mount a small file system here';

/**
 * Runs a command with a small disk in the place of a folder, which gets room when there is a file `room`, and stops it when there is a file `stop`. What is
 * in the folder at the end is in `saved`.
 */
const SMALL_DISK = `
place=$1; size=$2; shift 2
cp -a "$place" before && mount -t tmpfs -o "size=$size" none "$place" && cp -a before/. "$place" || exit 99
"$@" & child=$!
while [ ! -e room ] && kill -0 $child 2>/dev/null; do sleep 0.1; done
mount -o remount,size=512m "$place"
while [ ! -e stop ] && kill -0 $child 2>/dev/null; do sleep 0.1; done
kill -INT $child; wait $child; status=$?
cp -a "$place" saved
exit $status`;

async function fillDisk(world: World, place: string, size: string): Promise<void> {
  const { shop } = world;
  const up = world.startUp([...INSIDE, SMALL_DISK, 'sh', place, size]);
  let told = '';
  up.child.stderr.on('data', (text: Buffer) => {
    told += text.toString();
  });
  const isRecorded = (store: string): boolean =>
    told.split('\n').findLast((line) => line.startsWith(`${store}:`)) === `${store}: recording`;
  const areRecorded = (): boolean => ['orders', 'catalog', 'uploads'].every(isRecorded);
  // A base may come to nothing for want of room, and then another one is taken.
  await until(
    'all is recorded',
    () => areRecorded() || up.child.exitCode !== null,
    () => told,
  );
  world.startWriter();
  const isFull = () => /no space left on the device/.test(told);
  await until('the disk is full', () => isFull() || up.child.exitCode !== null);
  assert.ok(isFull() && up.child.exitCode === null, told);
  await sleep(1000 * LONGER);
  writeFileSync(shop.at('room'), '');
  await until('it goes on', areRecorded);
  await sleep(1000 * LONGER);
  const model = await world.stopWriter();
  await sleep(1000);
  writeFileSync(shop.at('stop'), '');
  const { status, err } = await up.ended;
  assert.equal(status, 0, err);
  rmSync(shop.at(place), { recursive: true });
  renameSync(shop.at('saved'), shop.at(place));
  const { marks, complete, gaps, bases } = await checkAll(world, model);
  assert.deepEqual(gaps, []);
  assert.deepEqual(['orders', 'catalog', 'uploads'].map(bases), [1, 1, 1], 'no base had to be taken anew');
  assert.equal(complete.at(-1)?.mark.id, marks.at(-1)?.mark.id, 'the last mark has all stores');
}

test('a repository whose disk is full is written to again once there is room, without a gap', {
  skip: noMount,
}, async (t) => {
  await using world = await openWorld(EMPTY);
  t.diagnostic(`seed ${world.seed}`);
  await fillDisk(world, 'backups', '2m');
});

test('a full disk under this host’s own state stops nothing for good, and leaves no gap', {
  skip: noMount,
}, async (t) => {
  await using world = await openWorld(EMPTY);
  t.diagnostic(`seed ${world.seed}`);
  mkdirSync(world.shop.at('state'), { recursive: true, mode: 0o700 });
  await fillDisk(world, 'state', '1m');
});
