import assert from 'node:assert/strict';
import { PassThrough } from 'node:stream';
import { suite, test } from 'node:test';
import { untilDrained } from './until-drained.ts';

const forever = { signal: new AbortController().signal };

function full(): PassThrough {
  const stream = new PassThrough({ highWaterMark: 1 });
  stream.write('more than fits');
  assert.ok(stream.writableNeedDrain);
  return stream;
}

suite('a full stream', () => {
  test('is waited for until it takes more', async () => {
    const stream = full();
    const drained = untilDrained(stream, forever);
    stream.resume();
    await drained;
    assert.ok(!stream.writableNeedDrain);
  });

  test('is not waited for once it has closed, or the run was aborted', async () => {
    const closing = full();
    const closed = untilDrained(closing, forever);
    closing.destroy();
    await closed;
    await untilDrained(closing, forever);
    const stop = new AbortController();
    const stream = full();
    const aborted = untilDrained(stream, stop);
    stop.abort();
    await aborted;
    assert.deepEqual([stream.listenerCount('drain'), stream.listenerCount('close')], [0, 0]);
  });

  test('that has room is not waited for', async () => {
    await untilDrained(new PassThrough(), forever);
  });
});
