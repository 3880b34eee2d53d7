import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createSeededRandom } from '../flow/random.ts';
import { positionAt } from '../testing/repository-fixture.ts';
import { PlaceTimes } from './place-times.ts';

const stretch = (after: number, upTo: number, fromMs: number) => ({
  after: positionAt(after),
  upTo: positionAt(upTo),
  fromMs,
  toMs: fromMs,
});

test('what follows a place happened no earlier than the stretch began in which it lies', () => {
  const times = new PlaceTimes();
  assert.equal(times.earliestAfter(positionAt(0)), undefined);
  times.note(stretch(10, 20, 1_000));
  times.note(stretch(20, 30, 2_000));
  assert.equal(times.earliestAfter(positionAt(15)), 1_000);
  // All of the first stretch is before it, so that an idle time between them is not part of what follows.
  assert.equal(times.earliestAfter(positionAt(20)), 2_000);
  assert.equal(times.earliestAfter(positionAt(5)), 1_000);
  assert.equal(times.earliestAfter(positionAt(30)), undefined);
});

test('of stretches that lie in each other the shorter one tells more', () => {
  const times = new PlaceTimes();
  times.note(stretch(0, 100, 1_000));
  times.note(stretch(0, 50, 1_000));
  times.note(stretch(50, 100, 5_000));
  assert.equal(times.earliestAfter(positionAt(70)), 5_000);
});

test('of very many stretches none is told too late, and the newest ones exactly', (t) => {
  const seed = Date.now() % 1_000_000;
  t.diagnostic(`seed ${seed}`);
  const random = createSeededRandom(seed);
  const times = new PlaceTimes();
  const count = 50_000;
  for (let at = 0; at < count; at += 1) times.note(stretch(at, at + 1, at * 10));
  for (let tries = 0; tries < 500; tries += 1) {
    const at = random.integer(count - 1);
    const told = times.earliestAfter(positionAt(at)) ?? Number.NaN;
    assert.ok(told <= at * 10, `${told} of ${at}`);
    assert.ok(told >= at * 10 - ((count - at) * 10) / 60, `${told} of ${at}`);
  }
  assert.equal(times.earliestAfter(positionAt(count - 1)), (count - 1) * 10);
});
