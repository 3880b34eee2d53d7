import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TidemarkError } from '../core/errors.ts';
import { endDone } from './run-record.ts';

const DONE = { outcome: 'done', summary: {} } as const;
const full = new TidemarkError('DISK_FULL', 'no space is left');

/** A session whose run can be written down. */
const writer = { putRun: async (): Promise<void> => undefined };

function steps(finish: () => Promise<void>) {
  const unnoted: TidemarkError[] = [];
  return { unnoted, finish, onUnnoted: (error: TidemarkError) => void unnoted.push(error) };
}

test('what is committed stands where its run can’t be written down, or this host’s disk is full', async () => {
  const { signal } = new AbortController();
  const atRun = steps(async () => assert.fail('it comes after the run'));
  await endDone({ putRun: () => Promise.reject(full) }, DONE, atRun, { signal });
  const atFinish = steps(() => Promise.reject(full));
  await endDone(writer, DONE, atFinish, { signal });
  assert.deepEqual([atRun.unnoted, atFinish.unnoted], [[full], [full]]);
});

test('a session that was fenced off is no end of a committed one', async () => {
  const fenced = new TidemarkError('FENCED', 'a sweep was faster');
  const { signal } = new AbortController();
  await assert.rejects(
    endDone(
      writer,
      DONE,
      steps(() => Promise.reject(fenced)),
      { signal },
    ),
    fenced,
  );
});

test('an end that is interrupted is told as such', async () => {
  const stop = new AbortController();
  const reason = new TidemarkError('INTERRUPTED', 'interrupted');
  const interrupted = steps(async () => {
    stop.abort(reason);
    throw full;
  });
  await assert.rejects(endDone(writer, DONE, interrupted, stop), reason);
  assert.deepEqual(interrupted.unnoted, []);
});
