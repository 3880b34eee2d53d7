import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isTidemarkError } from '../../src/core/errors.ts';
import { createSeededRandom } from '../../src/flow/random.ts';
import type { ObjectStore } from '../../src/objects/object-store.ts';
import { deathAt, faultAt, faultyStore, lastingFault } from '../../src/objects/wrappers/faulty.ts';
import type { FaultPlan } from '../../src/objects/wrappers/faulty.ts';
import { RepositoryFixture } from '../../src/testing/repository-fixture.ts';
import type { FixtureStore } from '../../src/testing/repository-fixture.ts';
import { assertNoGarbage, assertSound, contentBytes } from './repository-state.ts';
import type { Contents, Found } from './repository-state.ts';
import { withDerivedCredential } from '../../src/repository/access.ts';
import { forget } from '../../src/repository/maintainer.ts';
import { sweep } from '../../src/repository/sweep.ts';
import type { SweepReport } from '../../src/repository/sweep.ts';

const LEASE_MS = 60_000;
const KEEP_LAST = { windowMs: 0, last: 1, hourly: 0, daily: 0, weekly: 0, monthly: 0 };

/** A call alone, and the process lives on; or that call is the last one, as before a kill. */
const troubles: Readonly<Record<string, (position: number) => FaultPlan>> = {
  'fails without effect': (position) => faultAt(position, { kind: 'fail', when: 'before', error: lastingFault() }),
  'takes effect and fails': (position) => faultAt(position, { kind: 'fail', when: 'after', error: lastingFault() }),
  'is the last': (position) => deathAt(position, 'after'),
};

type Command = (objects: ObjectStore) => Promise<unknown>;

/** Folder and size of all objects: runs that leave the same ones leave the same work behind. */
function stateOf({ memory }: RepositoryFixture): string {
  const objects = memory.keys().map((key) => `${key.split('/')[0]} ${memory.get(key)?.byteLength}`);
  return objects.toSorted().join();
}

/**
 * Runs `command` with each trouble at each of its calls, always from the same state, and lets `check` look what has become of it, once for
 * each state that it left.
 */
async function atEveryCall(
  fixture: RepositoryFixture,
  command: Command,
  check: () => Promise<void>,
): Promise<{ readonly calls: number; readonly states: number }> {
  const before = fixture.memory.snapshot();
  const { remembered } = fixture;
  const states = new Set<string>();
  let calls = 0;
  for (const [name, plan] of Object.entries(troubles)) {
    for (let position = 0, isThere = true; isThere; position++) {
      fixture.memory.restore(before);
      fixture.remembered = remembered;
      const objects = faultyStore(fixture.memory, plan(position));
      const failure = await failureOf(command(objects));
      const call = objects.calls[position];
      isThere = call !== undefined;
      const trouble = `call ${position} (${call?.name} ${call?.key}) ${name}`;
      assert.ok(
        failure === undefined || (isTidemarkError(failure) && failure.code !== 'BUG'),
        `${trouble}: ${String(failure)}`,
      );
      assert.ok(isThere || failure === undefined, `without a fault: ${String(failure)}`);
      calls += 1;
      const state = `${failure === undefined} ${stateOf(fixture)}`;
      if (states.has(state)) continue;
      states.add(state);
      try {
        await check();
      } catch (cause) {
        throw new Error(`after ${trouble}`, { cause });
      }
    }
  }
  return { calls, states: states.size };
}

function failureOf(command: Promise<unknown>): Promise<unknown> {
  return command.then(
    () => undefined,
    (error: unknown) => error,
  );
}

function storeOf(seed: string): FixtureStore {
  const random = createSeededRandom(seed);
  const names = Array.from({ length: 10 }, (_, number) => `file ${number}`);
  return new Map(names.map((name) => [name, { attributes: random.bytes(9), content: random.bytes(9000) }]));
}

const first = storeOf('first');
/** Most of it is new. */
const second: FixtureStore = new Map([...first, ...[...storeOf('second')].slice(3)]);

type Backup = { readonly mark: string; readonly newBytes: number };

/** As the command does it: a session that fails says so, if it still can. */
async function backup(
  fixture: RepositoryFixture,
  content: FixtureStore,
  objects: ObjectStore = fixture.memory,
): Promise<Backup> {
  const { run, clock } = fixture;
  const owner = await fixture.open(objects);
  const access = await withDerivedCredential(owner, { role: 'writer', name: 'host', stores: ['*'] }, run);
  await using writer = await fixture.openWriter({ writer: 'host', access });
  try {
    const base = await fixture.writeBase(writer, 'uploads', content);
    const mark = fixture.markOf(new Map([['uploads', base]]));
    await writer.putMark(mark, run);
    await writer.putRun(run, { outcome: 'done', summary: {} });
    await writer.end(run);
    fixture.remembered = writer.heads;
    await clock.advance(1000);
    return { mark: mark.id, newBytes: base.stored.newBytes };
  } catch (error) {
    await failureOf(writer.putRun(run, { outcome: 'failed', summary: {} }).then(() => writer.end(run)));
    throw error;
  }
}

async function maintenance(fixture: RepositoryFixture, command: string, objects: ObjectStore) {
  const owner = await fixture.open(objects);
  const access = await withDerivedCredential(owner, { role: 'maintainer', name: 'host', stores: [] }, fixture.run);
  const info = { application: 'test', host: 'host', command, tool: 'tidemark test' };
  return { access, remembered: fixture.remembered, info };
}

async function forgetMarks(fixture: RepositoryFixture, objects: ObjectStore = fixture.memory): Promise<void> {
  const options = await maintenance(fixture, 'forget', objects);
  const { heads } = await forget({ ...options, policy: KEEP_LAST, timezone: 'UTC' }, fixture.run);
  fixture.remembered = heads;
}

async function sweepOnce(fixture: RepositoryFixture, objects: ObjectStore = fixture.memory): Promise<SweepReport> {
  const report = await sweep({ ...(await maintenance(fixture, 'sweep', objects)), apply: true }, fixture.run);
  fixture.remembered = report.heads;
  return report;
}

/** Sweeps until nothing is left to do; sessions that died have missed their leases by then. */
async function sweepAll(fixture: RepositoryFixture): Promise<void> {
  for (let pass = 0; pass < 10; pass++) {
    await fixture.clock.advance(3 * LEASE_MS);
    const { condemned, removed } = await sweepOnce(fixture);
    if (condemned.length + removed.length === 0) return;
  }
  assert.fail('sweeping does not come to an end');
}

async function find(fixture: RepositoryFixture): Promise<Found> {
  return { access: await fixture.open(), remembered: fixture.remembered, run: fixture.run };
}

function contentsOf(store: FixtureStore): Contents {
  return new Map([...store].map(([name, { content }]) => [name, Buffer.from(content ?? [])]));
}

for (const isFirst of [true, false]) {
  const which = isFirst ? 'the first backup' : 'a later backup';
  test(`after a fault at any call of ${which} the next one succeeds, reuses what was uploaded, and nothing committed is lost`, async () => {
    await using fixture = await RepositoryFixture.create('faults', { leaseMs: LEASE_MS });
    const marks = new Map<string, Contents>();
    if (!isFirst) marks.set((await backup(fixture, first)).mark, contentsOf(first));
    const oldBytes = await contentBytes(await find(fixture));
    const before = { held: fixture.memory.snapshot(), remembered: fixture.remembered };
    const whole = (await backup(fixture, second)).newBytes;
    fixture.memory.restore(before.held);
    fixture.remembered = before.remembered;
    let reused = 0;
    const { calls, states } = await atEveryCall(
      fixture,
      (objects) => backup(fixture, second, objects),
      async () => {
        await assertSound(await find(fixture), marks, contentsOf(second));
        const uploaded = (await contentBytes(await find(fixture))) - oldBytes;
        const { mark, newBytes } = await backup(fixture, second);
        assert.equal(newBytes, whole - uploaded, `${uploaded} bytes were there already`);
        assert.equal(await contentBytes(await find(fixture)), oldBytes + whole);
        if (uploaded > 0 && uploaded < whole) reused += 1;
        await sweepAll(fixture);
        await assertNoGarbage(await find(fixture));
        await assertSound(await find(fixture), new Map([...marks, [mark, contentsOf(second)]]), contentsOf(second));
      },
    );
    assert.ok(
      calls > 100 && states > 10 && reused > 0,
      `${calls} calls, ${states} states, ${reused} with a part of it`,
    );
  });
}

/** Three marks, of which retention keeps the last. */
async function threeMarks(fixture: RepositoryFixture): Promise<ReadonlyMap<string, Contents>> {
  await backup(fixture, first);
  await backup(fixture, storeOf('other'));
  return new Map([[(await backup(fixture, second)).mark, contentsOf(second)]]);
}

test('after a fault at any call of forget the next one does the rest, and what is kept stays whole', async () => {
  await using fixture = await RepositoryFixture.create('faults', { leaseMs: LEASE_MS });
  const kept = await threeMarks(fixture);
  const { calls, states } = await atEveryCall(
    fixture,
    (objects) => forgetMarks(fixture, objects),
    async () => {
      await forgetMarks(fixture);
      await assertSound(await find(fixture), kept);
      await sweepAll(fixture);
      await assertNoGarbage(await find(fixture));
      await assertSound(await find(fixture), kept);
    },
  );
  assert.ok(calls > 50 && states > 3, `${calls} calls, ${states} states`);
});

for (const [pass, what] of ['condemns', 'deletes'].entries()) {
  test(`after a fault at any call of a sweep that ${what} the next ones do the rest, and what is needed stays`, async () => {
    await using fixture = await RepositoryFixture.create('faults', { leaseMs: LEASE_MS });
    const kept = await threeMarks(fixture);
    await forgetMarks(fixture);
    for (let done = 0; done <= pass; done++) {
      await fixture.clock.advance(3 * LEASE_MS);
      if (done < pass) await sweepOnce(fixture);
    }
    const { calls, states } = await atEveryCall(
      fixture,
      (objects) => sweepOnce(fixture, objects),
      async () => {
        await assertSound(await find(fixture), kept);
        await sweepAll(fixture);
        await assertNoGarbage(await find(fixture));
        await assertSound(await find(fixture), kept);
      },
    );
    assert.ok(calls > 50 && states > 3, `${calls} calls, ${states} states`);
  });
}
