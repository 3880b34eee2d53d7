import process from 'node:process';
import { getHeapSpaceStatistics, setFlagsFromString } from 'node:v8';

const ENOUGH_BYTES = 8 * 1024 * 1024;
const LOOK_EVERY_MS = 10;

const SMALL_PROCESS_BYTES = 200 * 1024 * 1024;
const LOOSE_PERCENT = 200;
const WATCH_EVERY_MS = 250;

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

/**
 * Lets the heap's space for old objects grow to three times of what lives in it before that is looked through, while the whole process is small. For `up`,
 * whose heap is small: beside a server under load it would be looked through five times a second, a third of the processor time of `up`. During a base the
 * memory is needed for what is read.
 */
export function loosenHeapWhileSmall(): void {
  let percent = 0;
  const timer = setInterval(() => {
    const wanted = process.memoryUsage.rss() < SMALL_PROCESS_BYTES ? LOOSE_PERCENT : 0;
    if (wanted === percent) return;
    percent = wanted;
    setFlagsFromString(`--heap-growing-percent=${percent}`);
  }, WATCH_EVERY_MS);
  timer.unref();
}
