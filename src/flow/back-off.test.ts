import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { TidemarkError } from '../core/errors.ts';
import { backOffDelayMs, retrying } from './back-off.ts';
import type { RetryPolicy } from './back-off.ts';
import { createSeededRandom } from './random.ts';
import { createVirtualClock } from './virtual-clock.ts';
import type { VirtualClock } from './virtual-clock.ts';

const busy = (): TidemarkError => new TidemarkError('REPOSITORY_UNREACHABLE', 'busy', { disposition: 'retry' });

function policyOn(clock: VirtualClock, changes: Partial<RetryPolicy> = {}): RetryPolicy {
  return { clock, random: createSeededRandom(1).bytes, attempts: 5, firstMs: 100, maxMs: 1000, ...changes };
}

test('a delay lies between nothing and a longest that doubles up to its bound', () => {
  const bound = { firstMs: fc.integer({ min: 1, max: 1000 }), maxMs: fc.integer({ min: 1, max: 60_000 }) };
  fc.assert(
    fc.property(fc.record(bound), fc.integer({ min: 1, max: 2000 }), fc.integer(), (policy, attempt, seed) => {
      const delayMs = backOffDelayMs(attempt, policy, createSeededRandom(seed).bytes);
      assert.ok(delayMs >= 0);
      assert.ok(delayMs < Math.min(policy.maxMs, policy.firstMs * 2 ** (attempt - 1)));
    }),
  );
  const most = (size: number): Uint8Array => new Uint8Array(size).fill(255);
  const longest = [1, 2, 3, 4, 5].map((attempt) =>
    Math.round(backOffDelayMs(attempt, { firstMs: 100, maxMs: 1000 }, most)),
  );
  assert.deepEqual(longest, [100, 200, 400, 800, 1000]);
  assert.equal(
    backOffDelayMs(3, { firstMs: 100, maxMs: 1000 }, (size) => new Uint8Array(size)),
    0,
  );
});

test('an operation is repeated until it succeeds, with a wait and a word before each time', async (t) => {
  const clock = createVirtualClock(0);
  const told: number[] = [];
  let waitedMs = 0;
  const policy = policyOn(clock, {
    onRetry: ({ attempt, delayMs, error }) => {
      assert.equal(error.message, 'busy');
      told.push(attempt);
      waitedMs += delayMs;
    },
  });
  const operation = async (_run: unknown, attempt: number): Promise<string> => {
    if (attempt < 4) throw busy();
    return `attempt ${attempt}`;
  };
  assert.equal(await clock.runUntil(retrying(operation, policy, t)), 'attempt 4');
  assert.deepEqual(told, [1, 2, 3]);
  assert.equal(clock.monotonicMs(), waitedMs);
});

test('after the last attempt its error is thrown', async (t) => {
  const clock = createVirtualClock(0);
  let attempts = 0;
  const failing = async (): Promise<never> => {
    attempts += 1;
    throw new TidemarkError('REPOSITORY_UNREACHABLE', `attempt ${attempts}`, { disposition: 'retry' });
  };
  await assert.rejects(clock.runUntil(retrying(failing, policyOn(clock), t)), { message: 'attempt 5' });
  assert.equal(attempts, 5);
});

test('no wait goes beyond the deadline', async (t) => {
  const clock = createVirtualClock(0);
  let attempts = 0;
  const slow = async (): Promise<never> => {
    attempts += 1;
    await clock.sleep(400, t);
    throw busy();
  };
  const policy = policyOn(clock, { attempts: 1000, deadlineMs: 5000 });
  await assert.rejects(clock.runUntil(retrying(slow, policy, t)), { message: 'busy' });
  assert.ok(attempts > 1);
  assert.ok(clock.monotonicMs() <= 5400);
});

test('an error that another attempt would not mend is thrown at once', async (t) => {
  for (const error of [new TidemarkError('KEY_REFUSED', 'no'), new TypeError('no')]) {
    const clock = createVirtualClock(0);
    let attempts = 0;
    const failing = async (): Promise<never> => {
      attempts += 1;
      throw error;
    };
    await assert.rejects(clock.runUntil(retrying(failing, policyOn(clock), t)), error);
    assert.equal(attempts, 1);
  }
});

test('an abort ends the wait with its reason', async () => {
  const clock = createVirtualClock(0);
  const controller = new AbortController();
  const reason = new Error('enough');
  const failing = async (): Promise<never> => {
    throw busy();
  };
  const policy = policyOn(clock, { onRetry: () => controller.abort(reason) });
  await assert.rejects(clock.runUntil(retrying(failing, policy, { signal: controller.signal })), reason);
});
