import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Observation } from '../core/recorder.ts';
import { baseOf, positionAt, RepositoryFixture } from '../testing/repository-fixture.ts';
import type { FixtureStore } from '../testing/repository-fixture.ts';
import { storeObserved } from './observe.ts';

const MIB = 1024 * 1024;

function observationOf(content: FixtureStore, removed: readonly Uint8Array[] = []): Observation {
  return { ...baseOf(content, 1), removed };
}

test('an observation is a block of one transaction: what went, then what is there', async () => {
  await using fixture = await RepositoryFixture.create();
  await using writer = await fixture.openWriter({ writer: 'one' });
  const present = new Map([['b', { attributes: Buffer.from('x') }]]);
  const options = { writer, after: positionAt(0), clock: { nowMs: () => 5 } };
  const block = await storeObserved(observationOf(present, [Buffer.from('a')]), options, fixture.run);
  assert.deepEqual([block.after, block.upTo, block.changes], [positionAt(0), positionAt(1), 2]);
});

test('an observation is of the time when the last of it had been read', async () => {
  await using fixture = await RepositoryFixture.create();
  await using writer = await fixture.openWriter({ writer: 'one' });
  let nowMs = 5;
  const observation = observationOf(new Map([['a', { attributes: Buffer.from('x') }]]));
  async function* entries(): typeof observation.entries {
    for await (const batch of observation.entries) {
      yield batch;
      nowMs += 3;
    }
  }
  const options = { writer, after: positionAt(0), clock: { nowMs: () => nowMs } };
  const block = await storeObserved({ ...observation, entries: entries() }, options, fixture.run);
  assert.deepEqual([block.fromMs, block.toMs], [8, 8]);
});

test('what is too much to be recorded as changes ends the history: what is there, and what went', async () => {
  await using fixture = await RepositoryFixture.create();
  await using writer = await fixture.openWriter({ writer: 'one' });
  const options = { writer, after: positionAt(0), clock: { nowMs: () => 5 } };
  const large = new Uint8Array(MIB);
  const names = Array.from({ length: 70 }, (_, at) => String(at).padStart(3, '0'));
  const present = observationOf(new Map(names.map((name) => [name, { attributes: large }])));
  const gone = observationOf(
    new Map(),
    names.map(() => large),
  );
  const lost = { code: 'POSITION_LOST', disposition: 'resync' };
  await assert.rejects(storeObserved(present, options, fixture.run), lost);
  await assert.rejects(storeObserved(gone, options, fixture.run), lost);
});
