import { getHeapSpaceStatistics, setFlagsFromString } from 'node:v8';

const ENOUGH_BYTES = 8 * 1024 * 1024;
const LOOK_EVERY_MS = 10;

/**
 * Lets the heap's space for new objects grow to 8 MiB and no further. By itself it would grow to 70 MB during a long backup and bring nothing,
 * as what that allocates is short-lived or not on the heap; and V8 takes a limit only on a command line that is not ours.
 */
export function boundNewSpace(): void {
  const timer = setInterval(() => {
    const newSpace = getHeapSpaceStatistics().find(({ space_name: name }) => name === 'new_space');
    if ((newSpace?.space_size ?? 0) < ENOUGH_BYTES) return;
    setFlagsFromString('--semi-space-growth-factor=1');
    clearInterval(timer);
  }, LOOK_EVERY_MS);
  timer.unref();
}

/**
 * Has the heap looked through at once, and not bit by bit between other work. For a restore: what it reads lies outside of the heap, in buffers that are
 * found to be free only so, every few MiB, and the heap itself is small. Bit by bit that was a quarter of the time of a recovery beside the server that
 * replays.
 */
export function markHeapAtOnce(): void {
  setFlagsFromString('--no-incremental-marking');
}
