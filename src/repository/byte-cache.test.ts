import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Run } from '../core/run.ts';
import { ByteCache } from './byte-cache.ts';

const never: Run = { signal: new AbortController().signal };
const sizeOf = (value: Uint8Array): number => value.byteLength;

test('keeps the last used values within its limit, and opens again only what it let go', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(fc.integer({ min: 0, max: 9 }), fc.integer({ min: 0, max: 40 })), { maxLength: 60 }),
      async (requests) => {
        const cache = new ByteCache<Uint8Array>({ limitBytes: 100, sizeOf });
        let model: { readonly key: number; readonly sizeBytes: number }[] = [];
        for (const [key, sizeBytes] of requests) {
          let opened = false;
          const value = await cache.get(
            String(key),
            async () => {
              opened = true;
              return new Uint8Array(sizeBytes);
            },
            never,
          );
          const known = model.find((item) => item.key === key);
          assert.equal(opened, known === undefined);
          assert.equal(value.byteLength, known?.sizeBytes ?? sizeBytes);
          model = [...model.filter((item) => item.key !== key), known ?? { key, sizeBytes }];
          while (model.length > 1 && model.reduce((sum, item) => sum + item.sizeBytes, 0) > 100) model.shift();
          assert.equal(
            cache.keptBytes,
            model.reduce((sum, item) => sum + item.sizeBytes, 0),
          );
        }
      },
    ),
  );
});

test('those who ask at once wait for the same opening', async () => {
  const cache = new ByteCache<Uint8Array>({ limitBytes: 100, sizeOf });
  const gate = Promise.withResolvers<Uint8Array>();
  let openings = 0;
  const open = (): Promise<Uint8Array> => {
    openings++;
    return gate.promise;
  };
  const both = [cache.get('a', open, never), cache.get('a', open, never)];
  gate.resolve(new Uint8Array(7));
  const [first, second] = await Promise.all(both);
  assert.equal(openings, 1);
  assert.equal(first, second);
  assert.equal(cache.keptBytes, 7);
});

test('what fails is opened again the next time', async () => {
  const cache = new ByteCache<Uint8Array>({ limitBytes: 100, sizeOf });
  await assert.rejects(
    cache.get('a', () => Promise.reject(new Error('broken')), never),
    /broken/,
  );
  assert.equal((await cache.get('a', async () => new Uint8Array(3), never)).byteLength, 3);
});

test('the interruption of who began an opening does not end those who wait for it', async () => {
  const cache = new ByteCache<Uint8Array>({ limitBytes: 100, sizeOf });
  const first = new AbortController();
  const untilAborted = ({ signal }: Run): Promise<Uint8Array> =>
    new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
  const beginner = cache.get('a', untilAborted, { signal: first.signal });
  const waiting = cache.get('a', async () => new Uint8Array(5), never);
  first.abort(new Error('interrupted'));
  await assert.rejects(beginner, /interrupted/);
  assert.equal((await waiting).byteLength, 5);
});

test('a value larger than the limit is handed out and kept alone', async () => {
  const cache = new ByteCache<Uint8Array>({ limitBytes: 10, sizeOf });
  await cache.get('small', async () => new Uint8Array(4), never);
  await cache.get('large', async () => new Uint8Array(50), never);
  assert.equal(cache.keptBytes, 50);
  await cache.get('other', async () => new Uint8Array(4), never);
  assert.equal(cache.keptBytes, 4);
});
