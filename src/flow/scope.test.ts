import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BugError } from '../core/must.ts';
import type { Run } from '../core/run.ts';
import { openScope } from './scope.ts';
import { createVirtualClock } from './virtual-clock.ts';

const reason = new Error('enough');

/** Waits until the run aborts, and then does not hurry. */
function untilAborted({ signal }: Run, log: string[]): Promise<void> {
  return new Promise((_, reject) => {
    signal.addEventListener('abort', () => {
      log.push('told');
      setImmediate(() => {
        log.push('ended');
        reject(signal.reason);
      });
    });
  });
}

test('join waits for all tasks, those too that tasks have spawned', async (t) => {
  const clock = createVirtualClock(0);
  const done: string[] = [];
  const body = async (): Promise<number> => {
    await using scope = openScope(t);
    const seven = scope.spawn(async (run) => {
      await clock.sleep(5, run);
      void scope.spawn(async (inner) => {
        await clock.sleep(5, inner);
        done.push('grandchild');
      });
      done.push('child');
      return 7;
    });
    await scope.join();
    done.push('joined');
    return await seven;
  };
  assert.equal(await clock.runUntil(body()), 7);
  assert.deepEqual(done, ['child', 'grandchild', 'joined']);
});

test('the first failure aborts the others with its error, and join tells it when all have ended', async (t) => {
  const log: string[] = [];
  await using scope = openScope(t);
  void scope.spawn((run) => untilAborted(run, log));
  void scope.spawn(async () => {
    throw reason;
  });
  void scope.spawn(async (run) => {
    await untilAborted(run, []).catch(() => undefined);
    throw new Error('a consequence');
  });
  await assert.rejects(scope.join(), reason);
  assert.deepEqual(log, ['told', 'ended']);
  assert.equal(scope.run.signal.reason, reason);
});

test('a body that waits under the scope gets the error of the task that failed', async (t) => {
  const clock = createVirtualClock(0);
  const body = async (): Promise<void> => {
    await using scope = openScope(t);
    void scope.spawn(async (run) => {
      await clock.sleep(1, run);
      throw reason;
    });
    await clock.sleep(1000, scope.run);
  };
  await assert.rejects(clock.runUntil(body()), reason);
  assert.equal(clock.monotonicMs(), 1);
});

test('an error of the body is told as it is, after the tasks have ended', async (t) => {
  const log: string[] = [];
  const body = async (): Promise<void> => {
    await using scope = openScope(t);
    void scope.spawn((run) => untilAborted(run, log));
    throw reason;
  };
  await assert.rejects(body(), reason);
  assert.deepEqual(log, ['told', 'ended']);
});

test('an abort from outside ends the tasks with its reason', async () => {
  const controller = new AbortController();
  const log: string[] = [];
  await using scope = openScope({ signal: controller.signal });
  void scope.spawn((run) => untilAborted(run, log));
  controller.abort(reason);
  await assert.rejects(scope.join(), reason);
  assert.deepEqual(log, ['told', 'ended']);
});

test('a task of a scope that has been aborted does not start', async (t) => {
  await using scope = openScope(t);
  await assert.rejects(
    scope.spawn(() => Promise.reject(reason)),
    reason,
  );
  let started = false;
  const late = scope.spawn(async () => {
    started = true;
  });
  await assert.rejects(late, reason);
  assert.ok(!started);
});

test('nothing is spawned once the scope has been joined', async (t) => {
  await using scope = openScope(t);
  await scope.join();
  assert.throws(() => scope.spawn(async () => undefined), BugError);
});

test('an outcome that nobody awaits is not reported as unhandled', async (t) => {
  const unhandled: unknown[] = [];
  const onUnhandled = (error: unknown): void => void unhandled.push(error);
  process.on('unhandledRejection', onUnhandled);
  try {
    {
      await using scope = openScope(t);
      void scope.spawn(() => Promise.reject(reason));
      void scope.spawn(() => {
        throw new Error('synchronously');
      });
    }
    await new Promise((resolve) => setImmediate(resolve));
    assert.deepEqual(unhandled, []);
  } finally {
    process.off('unhandledRejection', onUnhandled);
  }
});

test('dispose again is fine', async (t) => {
  const scope = openScope(t);
  void scope.spawn(async () => undefined);
  await scope[Symbol.asyncDispose]();
  await scope[Symbol.asyncDispose]();
});
