import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import { test } from 'node:test';
import * as fc from 'fast-check';
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

type Plan = { readonly ms: number; readonly fails: boolean; readonly children: readonly Plan[] };

function plansOf(depth: number): fc.Arbitrary<Plan> {
  const children = depth === 0 ? fc.constant([]) : fc.array(plansOf(depth - 1), { maxLength: 3 });
  return fc.record({ ms: fc.nat(20), fails: fc.boolean(), children });
}

test('whatever tasks do, none is left when the scope is over, and the first failure in time is the one that is told', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(plansOf(2), { maxLength: 4 }), fc.option(fc.nat(25)), async (roots, abortMs) => {
      const clock = createVirtualClock(0);
      const outside = new AbortController();
      let running = 0;
      const failures: unknown[] = [];
      const work = async (plan: Plan, run: Run, spawn: (child: Plan) => void): Promise<void> => {
        running++;
        try {
          const [early, ...late] = plan.children;
          if (early !== undefined) spawn(early);
          await clock.sleep(plan.ms, run);
          for (const child of late) spawn(child);
          if (!plan.fails) return;
          failures.push(new Error(`after ${plan.ms}`));
          throw failures.at(-1);
        } finally {
          running--;
        }
      };
      const body = async (): Promise<void> => {
        await using scope = openScope({ signal: outside.signal });
        const spawn = (plan: Plan): void => void scope.spawn((run) => work(plan, run, spawn));
        for (const plan of roots) spawn(plan);
        await scope.join();
        assert.equal(running, 0);
      };
      const aborting = abortMs === null ? Promise.resolve() : clock.sleep(abortMs, { signal: AbortSignal.any([]) });
      const aborted = aborting.then(() => {
        if (abortMs === null) return;
        if (failures.length === 0) failures.push(reason);
        outside.abort(reason);
      });
      const [outcome] = await clock.runUntil(Promise.allSettled([body(), aborted]));
      assert.equal(running, 0);
      const isTold = outcome.status === 'rejected' && outcome.reason === failures[0];
      const isOver = outcome.status === 'fulfilled' && (failures.length === 0 || failures[0] === reason);
      assert.ok(isTold || isOver);
      assert.equal(getEventListeners(outside.signal, 'abort').length, 0);
    }),
  );
});
