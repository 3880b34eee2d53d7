import assert from 'node:assert/strict';
import { test } from 'node:test';
import { must } from '../../core/must.ts';
import { forward } from '../../objects/wrappers/forward.ts';
import { RepositoryFixture } from '../../testing/repository-fixture.ts';
import { loadCatalogue } from '../catalogue.ts';
import { setPinned } from '../maintainer.ts';
import { planSweep } from './plan.ts';
import { viewRepository } from './view.ts';

const LEASE_MS = 60_000;
const STORE = new Map([['a', { attributes: new Uint8Array(1), content: new Uint8Array(20_000).fill(7) }]]);
const INFO = { application: 'test', host: 'host', command: 'pin', tool: 'tidemark test' };

async function pinAndUnpin(fixture: RepositoryFixture): Promise<void> {
  const { mark } = await fixture.backup({ writer: 'one', stores: { orders: STORE } });
  const access = await fixture.maintainerAccess();
  for (const pinned of [true, false]) {
    const catalogue = await loadCatalogue(access, [], fixture.run);
    await setPinned({ access, remembered: [], info: INFO, catalogue, mark: mark.id, pinned }, fixture.run);
  }
}

/** Puts a manifest too late, so that its writer takes it back. */
async function putVoided(fixture: RepositoryFixture): Promise<void> {
  const { memory, clock } = fixture;
  const objects = {
    ...forward(memory),
    async create(key: string, body: readonly Uint8Array[], run: typeof fixture.run): Promise<void> {
      if (key.startsWith('manifests/')) await clock.advance(3 * LEASE_MS);
      await memory.create(key, body, run);
    },
  };
  await using writer = await fixture.openWriter({ writer: 'one', objects });
  await assert.rejects(fixture.writeBase(writer, 'orders', STORE), { code: 'FENCED' });
  await writer.end(fixture.run);
}

/** Whether a record may be deleted while the list that names what it goes with still waits, and when it does not. Each is the first in a folder. */
async function goes(
  prepare: (fixture: RepositoryFixture) => Promise<void>,
  [folder, ...others]: readonly [folder: string, ...others: readonly string[]],
): Promise<readonly boolean[]> {
  await using fixture = await RepositoryFixture.create('plan', { leaseMs: LEASE_MS });
  await prepare(fixture);
  await fixture.clock.advance(5 * LEASE_MS);
  const view = await viewRepository(
    { access: await fixture.maintainerAccess(), remembered: [] },
    undefined,
    fixture.run,
  );
  const keyIn = (name: string): string =>
    must(
      fixture.memory.keys().find((object) => object.startsWith(name)),
      name,
    );
  const key = keyIn(folder);
  const listOf = (name: string, objects: readonly string[], sessions: readonly string[]) => {
    return { key: `condemned/${name}`, modifiedMs: view.nowMs - 2 * LEASE_MS, objects, sessions };
  };
  const live = new Map([['slow', { id: 'slow', credential: 'other', startedMs: view.nowMs }]]);
  const due = listOf('due', [key], []);
  const results: boolean[] = [];
  for (const sessions of [['slow'], []]) {
    const lists = [due, listOf('other', others.map(keyIn), sessions)];
    const plan = await planSweep({ ...view, lists, live }, fixture.run);
    const isGoing = plan.remove.some((object) => object.key === key);
    assert.equal(plan.lists.includes(due.key), isGoing, 'the list stays as long as what it names');
    results.push(isGoing);
  }
  return results;
}

test('an unpin does not go before the pin that it ends, nor a void before what it takes back', async () => {
  assert.deepEqual(await goes(pinAndUnpin, ['unpins/', 'pins/']), [false, true]);
  assert.deepEqual(await goes(putVoided, ['void/', 'manifests/']), [false, true]);
});

test('the start of a session does not go before its other records', async () => {
  assert.deepEqual(await goes(putVoided, ['sessions/', 'manifests/', 'void/']), [false, true]);
});
