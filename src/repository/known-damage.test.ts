import assert from 'node:assert/strict';
import { test } from 'node:test';
import { must } from '../core/must.ts';
import { RepositoryFixture } from '../testing/repository-fixture.ts';
import type { FixtureStore } from '../testing/repository-fixture.ts';
import { loadCatalogue, packKeysOf } from './catalogue.ts';
import type { Catalogue } from './catalogue.ts';
import { knownDamage, neededOf, unneededOf, verificationOf } from './known-damage.ts';
import type { Verification } from './known-damage.ts';
import { putRun } from './runs.ts';
import { sweep } from './sweep.ts';
import type { Damage } from './verify/damage.ts';

const INFO = { application: 'test', host: 'bert', command: 'verify', tool: 'tidemark test' };
const pack = (digit: string): string => `packs/${'0'.repeat(32)}/${digit.repeat(64)}`;
const damageOf = (object: string): Damage => ({ object, kind: 'pack', message: 'it is missing', affects: [] });
const storeOf = (text: string): FixtureStore =>
  new Map([['name', { attributes: Buffer.from('x'), content: Buffer.alloc(3000, text) }]]);
const loaded = (fixture: RepositoryFixture): Promise<Catalogue> => loadCatalogue(fixture.owner, [], fixture.run);

async function tell(fixture: RepositoryFixture, found: Partial<Verification> = {}): Promise<void> {
  const verification: Verification = { depth: 'all', objects: [], others: 0, ...found };
  const body = { command: 'verify', startedAtMs: 0, durationMs: 5, summary: {}, outcome: 'damaged' };
  const access = await fixture.maintainerAccess();
  await putRun({ access, info: INFO, catalogue: await loaded(fixture), body, verification }, fixture.run);
  await fixture.clock.advance(1000);
}

async function known(fixture: RepositoryFixture): Promise<readonly (string | number)[]> {
  // As anybody knows it who has no key at all.
  const { keyring: _keyring, ...access } = fixture.owner;
  const { objects, others } = knownDamage(access, await loaded(fixture));
  return [...objects].toSorted().concat(others === 0 ? [] : [String(others)]);
}

test('what a verification of all found is known until another one of all has ended', async () => {
  await using fixture = await RepositoryFixture.create();
  assert.deepEqual(await known(fixture), []);
  await tell(fixture, { objects: [pack('1')], others: 3 });
  assert.deepEqual(await known(fixture), [pack('1'), '3']);
  await tell(fixture, { depth: 'some' });
  await tell(fixture, { depth: 'structure' });
  assert.deepEqual(await known(fixture), [pack('1'), '3'], 'they did not look at it');
  await tell(fixture, { objects: [pack('2')] });
  assert.deepEqual(await known(fixture), [pack('2')]);
  await tell(fixture);
  assert.deepEqual(await known(fixture), []);
});

test('what samples found adds up, and of the structure the last verification counts', async () => {
  await using fixture = await RepositoryFixture.create();
  await tell(fixture, { depth: 'some', objects: [pack('1')] });
  await tell(fixture, { depth: 'structure', objects: [pack('2')] });
  assert.deepEqual(await known(fixture), [pack('1'), pack('2')]);
  await tell(fixture, { depth: 'some', objects: [pack('3')] });
  assert.deepEqual(await known(fixture), [pack('1'), pack('3')]);
});

test('what a writer says of damage counts for nothing', async () => {
  await using fixture = await RepositoryFixture.create();
  const { mark } = await fixture.backup({ writer: 'anna', stores: { uploads: storeOf('a') } });
  await using writer = await fixture.openWriter({ writer: 'anna' });
  await writer.putRun(fixture.run, {
    outcome: 'damaged',
    summary: { verified: 'all', damaged: [pack('1')], others: 0 },
  });
  assert.deepEqual(await known(fixture), []);
  assert.equal((await loaded(fixture)).marks[0]?.mark.id, mark.id);
});

test('a verification names objects, at most a thousand, and nothing that tells of stores', () => {
  const many = Array.from({ length: 1500 }, (_, at) => `packs/${'0'.repeat(32)}/${String(at).padStart(64, '0')}`);
  const found = verificationOf(['the log of orders', ...many].map(damageOf), { depth: 'all', known: [pack('f')] });
  assert.deepEqual([found.objects.length, found.others], [1000, 501]);
  const few = verificationOf(['the log of orders', pack('1')].map(damageOf), { depth: 'all', known: [pack('f')] });
  assert.deepEqual(few, { depth: 'all', objects: [pack('1'), pack('f')], others: 1 });
});

test('which stores need a damaged pack is told of the marks that are asked for', async () => {
  await using fixture = await RepositoryFixture.create();
  const first = await fixture.backup({ writer: 'anna', stores: { uploads: storeOf('a'), orders: storeOf('b') } });
  await fixture.backup({ writer: 'anna', stores: { uploads: storeOf('c'), orders: storeOf('b') } });
  const catalogue = await loaded(fixture);
  const [older, newer] = catalogue.marks;
  assert.ok(older !== undefined && newer !== undefined);
  const packs = packKeysOf(catalogue.bases.get(must(first.bases.get('uploads'), 'a base').key));
  const objects = new Set([...packs, pack('1')]);
  assert.deepEqual([...neededOf(objects, catalogue, [older])], [['uploads', packs.length]]);
  assert.deepEqual([...neededOf(objects, catalogue, [newer])], []);
  assert.deepEqual(unneededOf(objects, catalogue), [pack('1')]);
});

test('a writer stores anew what is in a pack that was found damaged, and makes no base over one that needs it', async () => {
  await using fixture = await RepositoryFixture.create();
  const stores = { uploads: storeOf('a') };
  const first = must((await fixture.backup({ writer: 'anna', stores })).bases.get('uploads'), 'a base');
  const packs = packKeysOf((await loaded(fixture)).bases.get(first.key));
  await tell(fixture, { objects: packs });
  const { keyring: _keyring, ...access } = await fixture.writerAccess('anna');
  await using writer = await fixture.openWriter({ writer: 'anna' });
  assert.equal(writer.earlierBase('uploads'), undefined);
  const second = must((await fixture.backup({ writer: 'anna', stores, access })).bases.get('uploads'), 'a base');
  assert.equal(second.stored.newBytes, first.stored.newBytes);
  const catalogue = await loaded(fixture);
  const anew = packKeysOf(catalogue.bases.get(second.key));
  assert.deepEqual(
    anew.filter((key) => packs.includes(key)),
    [],
  );
  await using next = await fixture.openWriter({ writer: 'anna' });
  assert.notEqual(next.earlierBase('uploads'), undefined);
  const third = must((await fixture.backup({ writer: 'anna', stores })).bases.get('uploads'), 'a base');
  assert.equal(third.stored.newBytes, 0);
});

test('a writer makes no base over one that was itself found damaged, until there is another', async () => {
  await using fixture = await RepositoryFixture.create();
  const stores = { uploads: storeOf('a') };
  const first = must((await fixture.backup({ writer: 'anna', stores })).bases.get('uploads'), 'a base');
  await tell(fixture, { objects: [first.key] });
  await using writer = await fixture.openWriter({ writer: 'anna' });
  assert.equal(writer.earlierBase('uploads'), undefined);
  await fixture.backup({ writer: 'anna', stores });
  await using next = await fixture.openWriter({ writer: 'anna' });
  assert.notEqual(next.earlierBase('uploads'), undefined);
});

test('a pack that was found whole again counts for a writer', async () => {
  await using fixture = await RepositoryFixture.create();
  const stores = { uploads: storeOf('a') };
  const { bases } = await fixture.backup({ writer: 'anna', stores });
  await tell(fixture, { objects: packKeysOf((await loaded(fixture)).bases.get(must(bases.get('uploads'), 'it').key)) });
  await tell(fixture);
  const second = await fixture.backup({ writer: 'anna', stores });
  assert.equal(second.bases.get('uploads')?.stored.newBytes, 0);
});

test('a sweep that lets old runs go keeps what says that something is damaged', async () => {
  await using fixture = await RepositoryFixture.create('many runs', { leaseMs: 60_000 });
  await tell(fixture, { objects: [pack('1')] });
  const access = await fixture.maintainerAccess();
  const catalogue = await loaded(fixture);
  const body = { command: 'forget', startedAtMs: 0, durationMs: 5, summary: {}, outcome: 'done' };
  for (let count = 0; count < 510; count++) await putRun({ access, info: INFO, catalogue, body }, fixture.run);
  for (let round = 0; round < 3; round++) {
    await fixture.clock.advance(4 * 60_000);
    await sweep({ access, info: INFO, remembered: [], apply: true }, fixture.run);
  }
  const runs = [...(await loaded(fixture)).log.byKey.values()].filter(({ record }) => record.header.kind === 'run');
  assert.ok(runs.length < 511, String(runs.length));
  assert.deepEqual(await known(fixture), [pack('1')]);
});
