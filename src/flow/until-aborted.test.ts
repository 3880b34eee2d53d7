import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import { test } from 'node:test';
import { untilAborted } from './until-aborted.ts';

test('a promise is waited for until the run aborts, and goes on without who waited', async () => {
  const stop = new AbortController();
  const run = { signal: stop.signal };
  assert.equal(await untilAborted(Promise.resolve(1), run), 1);
  await assert.rejects(untilAborted(Promise.reject(new Error('of the work')), run), /of the work/);
  assert.equal(getEventListeners(stop.signal, 'abort').length, 0);
  const work = Promise.withResolvers<number>();
  const waits = untilAborted(work.promise, run);
  stop.abort(new Error('enough'));
  await assert.rejects(waits, /enough/);
  await assert.rejects(untilAborted(work.promise, run), /enough/);
  work.resolve(2);
  assert.equal(await work.promise, 2);
});
