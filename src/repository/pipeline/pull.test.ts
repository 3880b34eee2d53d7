import assert from 'node:assert/strict';
import { test } from 'node:test';
import { NEVER } from '../../testing/pipeline-fixture.ts';
import { pull } from './pull.ts';

async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}

/** Counts in `ended` how often it was ended from outside or by itself. */
function counted(count: number, failure?: Error) {
  const state = { ended: 0 };
  async function* numbers(): AsyncGenerator<number, void> {
    try {
      for (let number = 0; number < count; number += 1) yield number;
      if (failure !== undefined) throw failure;
    } finally {
      state.ended += 1;
    }
  }
  return { state, numbers: numbers() };
}

test('all that there is comes, and then the end', async () => {
  const { state, numbers } = counted(3);
  assert.deepEqual(await collect(pull(numbers, NEVER)), [0, 1, 2]);
  assert.equal(state.ended, 1);
});

test('an error of what is pulled is passed on', async () => {
  const failure = new Error('broken');
  await assert.rejects(collect(pull(counted(3, failure).numbers, NEVER)), failure);
});

test('leaving early ends what is pulled', async () => {
  const { state, numbers } = counted(3);
  for await (const _ of pull(numbers, NEVER)) break;
  assert.equal(state.ended, 1);
});

test('an abort between two batches ends what is pulled', async () => {
  const { state, numbers } = counted(3);
  const controller = new AbortController();
  const reason = new Error('enough');
  const pulled = pull(numbers, controller);
  await pulled.next();
  controller.abort(reason);
  await assert.rejects(pulled.next(), reason);
  await new Promise(setImmediate);
  assert.equal(state.ended, 1);
});

test('an abort is not held up by a batch that does not come, and what comes of it later is nobody’s error', async () => {
  const next = Promise.withResolvers<IteratorResult<number>>();
  const controller = new AbortController();
  const reason = new Error('enough');
  let returned = 0;
  const iterator = {
    next: () => next.promise,
    return: () => {
      returned += 1;
      return Promise.reject(new Error('late'));
    },
  };
  const pulled = collect(pull({ [Symbol.asyncIterator]: () => iterator }, controller));
  controller.abort(reason);
  await assert.rejects(pulled, reason);
  assert.equal(returned, 1);
  next.reject(new Error('later'));
  await new Promise(setImmediate);
});
