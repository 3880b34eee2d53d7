import { BugError, assume, must } from '../core/must.ts';
import type { Clock, Run } from '../core/run.ts';

/**
 * A clock for simulations: time stands still while anybody can do something, then jumps to the next sleeper. Sleepers wake one
 * at a time, by due time and then by who slept first, and all that follows from one is done before the next: the same tasks
 * give the same order in every run.
 *
 * Tasks may wait for this clock and for each other, by promises. What waits for the disk, the thread pool or a real timer is
 * not seen, and time goes on without it.
 */
export interface VirtualClock extends Clock {
  /** How many sleep now. */
  readonly sleeping: number;
  /** Moves time by `durationMs`, waking on the way who is due. */
  advance(durationMs: number): Promise<void>;
  /** Moves time for as long as anybody sleeps. */
  runUntilIdle(): Promise<void>;
  /** Moves time until `task` settles, and gives its outcome. @throws BugError when nobody sleeps any more and it has not settled. */
  runUntil<T>(task: Promise<T>): Promise<T>;
  /** Sets the wall clock forward or back, as an administrator would. Sleepers and `monotonicMs` take no notice. */
  jumpWall(byMs: number): void;
}

type Sleeper = {
  readonly dueMs: number;
  readonly turn: number;
  readonly wake: () => void;
  gone: boolean;
};

function isBefore(left: Sleeper, right: Sleeper): boolean {
  return left.dueMs < right.dueMs || (left.dueMs === right.dueMs && left.turn < right.turn);
}

/** A binary heap. Who gave up stays in until it would be next. */
class SleeperQueue {
  readonly #heap: Sleeper[] = [];

  first(): Sleeper | undefined {
    while (this.#heap[0]?.gone === true) this.#removeFirst();
    return this.#heap[0];
  }

  add(sleeper: Sleeper): void {
    const heap = this.#heap;
    let index = heap.length;
    while (index > 0) {
      const parentIndex = (index - 1) >>> 1;
      const parent = must(heap[parentIndex], 'a parent in the heap');
      if (!isBefore(sleeper, parent)) break;
      heap[index] = parent;
      index = parentIndex;
    }
    heap[index] = sleeper;
  }

  #removeFirst(): void {
    const heap = this.#heap;
    const last = must(heap.pop(), 'something to remove');
    if (heap.length === 0) return;
    let index = 0;
    for (;;) {
      let childIndex = 2 * index + 1;
      let child = heap[childIndex];
      if (child === undefined) break;
      const sibling = heap[childIndex + 1];
      if (sibling !== undefined && isBefore(sibling, child)) {
        childIndex += 1;
        child = sibling;
      }
      if (!isBefore(child, last)) break;
      heap[index] = child;
      index = childIndex;
    }
    heap[index] = last;
  }
}

/**
 * Resolves once no promise has anything left to do: Node takes its next tick only after it has emptied the queue of
 * microtasks, however long that grew meanwhile. Needs no turn of the event loop, so a step costs well below a microsecond.
 */
function untilQuiet(): Promise<void> {
  return new Promise((resolve) => process.nextTick(resolve));
}

/** @param startMs wall time at the start; the monotonic clock begins at 0. */
export function createVirtualClock(startMs: number): VirtualClock {
  const queue = new SleeperQueue();
  let elapsedMs = 0;
  let wallMs = startMs;
  let turns = 0;
  let sleeping = 0;
  let driven = false;

  const sleep = (delayMs: number, { signal }: Run): Promise<void> => {
    if (signal.aborted) return Promise.reject(signal.reason);
    return new Promise((resolve, reject) => {
      const wake = (): void => {
        leave();
        signal.removeEventListener('abort', onAbort);
        resolve();
      };
      const onAbort = (): void => {
        leave();
        reject(signal.reason);
      };
      const sleeper: Sleeper = { dueMs: elapsedMs + Math.max(0, delayMs), turn: turns, wake, gone: false };
      const leave = (): void => {
        sleeper.gone = true;
        sleeping -= 1;
      };
      turns += 1;
      sleeping += 1;
      queue.add(sleeper);
      signal.addEventListener('abort', onAbort, { once: true });
    });
  };

  const moveTo = (atMs: number): void => {
    wallMs += atMs - elapsedMs;
    elapsedMs = atMs;
  };

  /** Wakes sleepers in order until the next one is due after `lastMs`, or `isDone`. */
  const drive = async (lastMs: number, isDone: () => boolean): Promise<void> => {
    assume(!driven, 'one driver of a virtual clock at a time');
    driven = true;
    try {
      await untilQuiet();
      while (!isDone()) {
        const sleeper = queue.first();
        if (sleeper === undefined || sleeper.dueMs > lastMs) return;
        moveTo(sleeper.dueMs);
        sleeper.wake();
        await untilQuiet();
      }
    } finally {
      driven = false;
    }
  };

  return {
    nowMs: () => wallMs,
    monotonicMs: () => elapsedMs,
    sleep,
    get sleeping() {
      return sleeping;
    },
    async advance(durationMs) {
      const lastMs = elapsedMs + durationMs;
      await drive(lastMs, () => false);
      moveTo(lastMs);
    },
    runUntilIdle: () => drive(Number.POSITIVE_INFINITY, () => false),
    async runUntil(task) {
      let settled = false;
      const settle = (): void => {
        settled = true;
      };
      task.then(settle, settle);
      await drive(Number.POSITIVE_INFINITY, () => settled);
      if (!settled) throw new BugError('the simulation stands still: nobody sleeps, and the task has not settled');
      return await task;
    },
    jumpWall(byMs) {
      wallMs += byMs;
    },
  };
}
