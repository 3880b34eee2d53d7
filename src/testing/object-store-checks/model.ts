import assert from 'node:assert/strict';
import { createSeededRandom } from '../../flow/random.ts';
import type { SeededRandom } from '../../flow/random.ts';
import { all, assertHolds, assertRejects, listAll, text } from './check.ts';
import type { CheckContext, ObjectStoreCheck } from './check.ts';

const STEPS = 250;
const KEYS = ['a', 'b-', 'b-c/d', 'b.c', 'b/a', 'b/a-', 'b/c/d', 'b/c/e', 'b/c-', 'b0', 'c/a/a', 'c/a/b', 'c/a0', 'd'];
const PREFIXES = ['', 'a', 'b', 'b/', 'b/c', 'b/c/', 'c/a', 'd/', 'x'];

type World = CheckContext & { readonly model: Map<string, Uint8Array>; readonly random: SeededRandom };

async function createOne({ store, model, random, run }: World, key: string): Promise<void> {
  const body = Array.from({ length: random.integer(4) }, () => random.bytes(random.integer(5000)));
  const taken = model.get(key);
  if (taken !== undefined) {
    // Surely others than those that are there: a store that repeats calls may take equal bytes for its own.
    await assertRejects(store.create(key, [taken, text('!'), ...body], run), 'OBJECT_EXISTS');
    return;
  }
  await store.create(key, body, run);
  model.set(key, Buffer.concat(body));
}

async function readOne({ store, model, random, run }: World, key: string): Promise<void> {
  const held = model.get(key);
  const into = new Uint8Array(random.integer(6000));
  const offset = random.integer(6000);
  if (held === undefined) {
    await assertRejects(store.read(key, offset, into, run), 'OBJECT_NOT_FOUND');
    return;
  }
  const expected = held.subarray(offset, offset + into.byteLength);
  assert.equal(await store.read(key, offset, into, run), expected.byteLength);
  assert.ok(Buffer.compare(into.subarray(0, expected.byteLength), expected) === 0);
}

async function statOne({ store, model, run }: World, key: string): Promise<void> {
  assert.equal((await store.stat(key, run))?.sizeBytes, model.get(key)?.byteLength);
}

async function listSome({ fixture, store, model, random, run }: World, after: string): Promise<void> {
  await fixture.settleListings?.();
  const range = { prefix: random.pick(PREFIXES), after: random.chance(0.5) ? '' : after };
  const found = (await listAll(store, range, run)).map((info) => [info.key, info.sizeBytes]);
  const keys = [...model.keys()].filter((key) => key.startsWith(range.prefix) && key > range.after).sort();
  assert.deepEqual(
    found,
    keys.map((key) => [key, model.get(key)?.byteLength]),
  );
}

async function deleteSome({ store, model, random, run }: World, key: string): Promise<void> {
  const keys = [key, ...random.shuffle(KEYS).slice(0, random.integer(3))];
  await store.delete(keys, run);
  for (const gone of keys) model.delete(gone);
}

/** Several at once, on keys of their own. */
async function createSeveral(world: World): Promise<void> {
  const keys = world.random.shuffle(KEYS.filter((key) => !world.model.has(key))).slice(0, 5);
  await all(keys.map((key) => world.store.create(key, [text(key)], world.run)));
  for (const key of keys) world.model.set(key, text(key));
}

async function followsTheModel(context: CheckContext): Promise<void> {
  const world: World = { ...context, model: new Map(), random: createSeededRandom(context.seed) };
  const exclusive = context.capabilities.exclusiveCreate;
  for (let step = 0; step < STEPS; step += 1) {
    const key = world.random.pick(KEYS);
    const drawn = world.random.integer(10);
    if (drawn < 3 && (exclusive || !world.model.has(key))) await createOne(world, key);
    else if (drawn < 5) await readOne(world, key);
    else if (drawn < 6) await statOne(world, key);
    else if (drawn < 8) await listSome(world, key);
    else if (drawn < 9) await deleteSome(world, key);
    else await createSeveral(world);
  }
  for (const [key, bytes] of world.model) await assertHolds(world.store, key, bytes, world.run);
}

export const modelChecks: readonly ObjectStoreCheck[] = [
  { title: 'random calls give what a simple model gives', verify: followsTheModel },
];
