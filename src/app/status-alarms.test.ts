import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseManifest } from '../config/parse-manifest.ts';
import { loadCatalogue, packKeysOf } from '../repository/catalogue.ts';
import { historySpans } from '../repository/history-spans.ts';
import { putRun } from '../repository/runs.ts';
import { LogFixture, positionAt } from '../testing/log-fixture.ts';
import { repositoryAlarms } from './status-alarms.ts';
import type { Watched } from './status-alarms.ts';

const HOUR = 3_600;
const DAY = 24 * HOUR;
const MANIFEST = "application: shop\nrepository: ./r\nbases: '0 3,15 * * *'\nstores:\n  orders: embedded:./orders.db\n";

async function alarmsOf(
  { repository }: LogFixture,
  more: Partial<Watched> = {},
): Promise<readonly (readonly (string | undefined)[])[]> {
  const { run, owner, clock } = repository;
  const catalogue = await loadCatalogue(owner, [], run);
  const alarms = repositoryAlarms({
    access: owner,
    catalogue,
    configuration: await parseManifest(MANIFEST, { file: 'tidemark.yaml', folder: '/' }),
    remembered: [],
    stores: [{ store: 'orders', spans: historySpans(catalogue, 'orders') }],
    nowMs: clock.nowMs(),
    knowsProofs: true,
    ...more,
  });
  for (const { message, hint } of alarms) assert.ok(message !== '' && hint !== '');
  return alarms.map(({ code, store, message }) => [code, store, message]);
}

const codes = async (fixture: LogFixture, more?: Partial<Watched>): Promise<readonly (string | undefined)[]> =>
  (await alarmsOf(fixture, more)).map(([code]) => code);

test('nothing was ever backed up', async () => {
  await using fixture = await LogFixture.create();
  assert.deepEqual(await codes(fixture), ['NO_MARK', 'NEVER_BACKED_UP']);
});

test('a mark is old when two bases were due since', async () => {
  await using fixture = await LogFixture.create();
  const { key } = await fixture.base('orders', { at: 10, order: 1 });
  assert.deepEqual(await codes(fixture), ['NO_MARK']);
  await fixture.mark(20, { positions: { orders: positionAt(1) }, bases: { orders: key } });
  await fixture.mark(30, { positions: {}, missing: ['orders'] });
  await fixture.waitUntil(14 * HOUR);
  assert.deepEqual(await codes(fixture), []);
  await fixture.waitUntil(16 * HOUR);
  assert.deepEqual(await alarmsOf(fixture), [['OLD_MARK', undefined, 'the newest complete mark is 15h old']]);
  // Without a manifest nobody knows the schedule: once a day.
  assert.deepEqual(await codes(fixture, { configuration: undefined }), []);
});

test('a mark of other stores does not stand for one of the application', async () => {
  await using fixture = await LogFixture.create();
  await fixture.base('orders', { at: 10, order: 1 });
  await fixture.base('pages', { at: 11, order: 1 });
  await fixture.mark(20, { positions: { pages: positionAt(1) } });
  assert.deepEqual(await codes(fixture), ['NO_MARK']);
  await fixture.mark(30, { positions: { orders: positionAt(1) } });
  await fixture.mark(16 * HOUR, { positions: { pages: positionAt(1) } });
  assert.deepEqual(await codes(fixture), ['OLD_MARK']);
});

test('a gap is an alarm while it lasts, and for a day afterwards', async () => {
  await using fixture = await LogFixture.create();
  await fixture.base('orders', { at: 10, order: 1 });
  await fixture.log('orders', { after: 1, commits: [[2, 20]] });
  await fixture.mark(20, { positions: { orders: positionAt(2) } });
  await fixture.gap({ store: 'orders', after: positionAt(2), from: 20, to: 30, reason: 'the slot was lost' });
  const [[code, store, message] = []] = await alarmsOf(fixture);
  assert.deepEqual([code, store], ['GAP', 'orders']);
  assert.match(message ?? '', /^nothing of it is recorded since 2026-03-01T00:00:20.000Z: the slot was lost$/);
  await fixture.base('orders', { at: 40, order: 1, lineage: 'b' });
  await fixture.mark(DAY, { positions: { orders: positionAt(1, 'b') } });
  assert.match((await alarmsOf(fixture))[0]?.[2] ?? '', /^no moment from .*:20.000Z to .*:40.000Z can be restored/);
  await fixture.waitUntil(DAY + 60);
  assert.deepEqual(await codes(fixture), []);
});

test('what was not proven for a month is an alarm where proofs can be seen', async () => {
  await using fixture = await LogFixture.create();
  await fixture.base('orders', { at: 10, order: 1 });
  await fixture.mark(31 * DAY, { positions: { orders: positionAt(1) } });
  assert.deepEqual(await codes(fixture), ['NEVER_PROVEN']);
  assert.deepEqual(await codes(fixture, { knowsProofs: false }), []);
});

test('damage is told, and of much damage not all', async () => {
  await using fixture = await LogFixture.create();
  await fixture.base('orders', { at: 10, order: 1 });
  await fixture.mark(20, { positions: { orders: positionAt(1) } });
  const catalogue = await loadCatalogue(fixture.repository.owner, [], fixture.repository.run);
  const finding = { code: 'record', severity: 'error' as const, message: 'it is damaged', hint: 'verify' };
  const damaged = { ...catalogue, findings: Array.from({ length: 30 }, () => finding) };
  const alarms = await alarmsOf(fixture, { catalogue: damaged });
  assert.equal(alarms.length, 21);
  assert.deepEqual(alarms.at(-1), ['REPOSITORY_DAMAGED', undefined, 'and 10 more findings of damage']);
});

test('what was found damaged is an alarm, which says whether the newest mark needs it', async () => {
  await using fixture = await LogFixture.create();
  const { key } = await fixture.base('orders', { at: 10, order: 1 });
  await fixture.mark(20, { positions: { orders: positionAt(1) }, bases: { orders: key } });
  const { repository } = fixture;
  const access = await repository.maintainerAccess();
  const catalogue = await loadCatalogue(access, [], repository.run);
  const [object = ''] = packKeysOf(catalogue.bases.get(key));
  const body = { command: 'verify', startedAtMs: 0, durationMs: 5, summary: {}, outcome: 'damaged' };
  const verification = { depth: 'all', objects: [object], others: 0 } as const;
  const info = { application: 'test', host: 'bert', command: 'verify', tool: 'tidemark test' };
  await putRun({ access, info, catalogue, body, verification }, repository.run);
  const [[code, store, message] = []] = await alarmsOf(fixture);
  assert.deepEqual([code, store], ['DAMAGE_FOUND', 'orders']);
  assert.match(message ?? '', /^its newest backup needs 1 object that is damaged, found by .* at 2026-03-01T/);
  const [[, nobody, unknown] = []] = await alarmsOf(fixture, { knowsProofs: false });
  assert.equal(nobody, undefined);
  assert.match(unknown ?? '', /^1 thing is damaged in the repository/);
  const next = await fixture.base('orders', { at: 30, order: 2 }, 'bert');
  await fixture.mark(40, { positions: { orders: positionAt(2) }, bases: { orders: next.key } });
  const [[, , now] = []] = await alarmsOf(fixture);
  assert.match(now ?? '', /^older marks need 1 object that is damaged, .*; its newest backup does not$/);
});
