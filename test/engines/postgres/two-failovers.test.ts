import assert from 'node:assert/strict';
import { chmodSync, rmSync, statSync } from 'node:fs';
import { test } from 'node:test';
import { openReader } from '../../../src/app/look.ts';
import { must } from '../../../src/core/must.ts';
import { openShop, until } from '../../e2e/shop.ts';
import type { Shop, Started } from '../../e2e/shop.ts';
import { untilComplete } from '../../oracle/engine-world.ts';
import { openShopApplication, run } from '../../oracle/opened.ts';
import { askingOf } from '../../oracle/world.ts';
import { waitUntil } from '../../servers/guarded.ts';
import { needs } from '../../servers/needs.ts';
import { promote, rewind, startPostgres } from '../../servers/postgres.ts';
import type { PostgresServer } from '../../servers/postgres.ts';
import { makeNumbers, numbersOf, NumberWriter } from './number-writer.ts';

const OPTIONS = { ...needs('postgres', 'pg_rewind'), timeout: 400_000 };
const SETTINGS = { max_slot_wal_keep_size: '512MB', wal_keep_size: '512MB', wal_log_hints: 'on' };

/** `covered`: what was known to be committed before it was asked for; `last`: nothing after it had been tried when it was there. */
type Taken = { readonly id: string; readonly covered: ReadonlySet<number>; readonly last: number };

type World = AsyncDisposable & {
  readonly shop: Shop;
  readonly one: PostgresServer;
  readonly two: PostgresServer;
  readonly writer: NumberWriter;
  startUp(): Promise<Started>;
  mark(): Promise<Taken>;
};

/** A primary `one` with a standby `two` that has each commit before that is told, and a writer. */
async function openWorld(): Promise<World> {
  await using opened = new AsyncDisposableStack();
  const writer = opened.use(new NumberWriter());
  const one = opened.use(await startPostgres({ settings: SETTINGS }));
  await makeNumbers(one);
  const two = opened.use(await startPostgres({ standbyOf: { primary: one } }));
  await untilSynchronous(one);
  const shop = opened.use(
    await openShop({
      manifest: `application: shop\nrepository: ./backups\nmarks: { every: 1s }\nstores:\n  orders: postgres://postgres@127.0.0.1:${one.port},127.0.0.1:${two.port}/postgres\n`,
    }),
  );
  writer.moveTo(one);
  writer.goOn();
  const asking = await askingOf(shop);
  const all = opened.move();
  return {
    shop,
    one,
    two,
    writer,
    async startUp() {
      const up = shop.start(['up']);
      await until('it is recorded', () => shop.run(['status']).out.includes('"state":"recording"'));
      return up;
    },
    async mark() {
      const covered = writer.committed;
      return { covered, id: await untilComplete(asking), last: writer.last };
    },
    [Symbol.asyncDispose]: () => all[Symbol.asyncDispose](),
  };
}

/** Whoever is told of a commit of the primary knows that the standby has it. */
async function untilSynchronous(primary: PostgresServer): Promise<void> {
  await primary.query("ALTER SYSTEM SET synchronous_standby_names = 'standby'");
  await primary.query('SELECT pg_reload_conf()');
  const states = "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'";
  await waitUntil('the standby is synchronous', async () => (await primary.value(states)) === '1');
}

/** One fails, the other takes its place, and then the first one comes back as its standby. */
async function failOver({ writer }: World, failing: PostgresServer, next: PostgresServer): Promise<void> {
  await failing.kill();
  // It would wait for its own standby, which is not there yet.
  await next.query("ALTER SYSTEM SET synchronous_standby_names = ''");
  await promote(next);
  writer.moveTo(next);
}

async function comeBack(failed: PostgresServer, promoted: PostgresServer): Promise<void> {
  await rewind(failed, promoted);
  await untilSynchronous(promoted);
}

async function end(up: Started): Promise<string> {
  up.child.kill('SIGINT');
  return (await up.ended).err;
}

async function recordedOf(shop: Shop) {
  await using application = await openShopApplication(shop);
  await using reader = await openReader(application, {}, run);
  const { marks, gaps, bases, findings } = reader.catalogue;
  assert.deepEqual(findings, []);
  const timelineOf = (id: string): string => {
    const found = must(
      marks.find(({ mark }) => mark.id === id),
      'a mark',
    );
    return found.mark.positions['orders']?.resume.split('/')[0] ?? '';
  };
  return { gaps: gaps.map(({ reason }) => reason), bases: bases.size, timelineOf };
}

/** What a mark restores to, in a server that is started on it. */
async function restored(shop: Shop, mark: string): Promise<ReadonlySet<number>> {
  chmodSync(shop.folder.path, statSync(shop.folder.path).mode | 0o111);
  const into = shop.at(`copy-${mark}`);
  const { status, err } = await shop.start(['restore', '--to', mark, '--into', into, '--yes']).ended;
  assert.equal(status, 0, err);
  await using server = await startPostgres({ folder: shop.at(`copy-${mark}`, 'orders') });
  return await numbersOf(server);
}

async function assertRestores(shop: Shop, { id, covered, last }: Taken): Promise<void> {
  const numbers = await restored(shop, id);
  const missing = [...covered].filter((n) => !numbers.has(n));
  assert.deepEqual(missing, [], `mark ${id} has all that was committed before it`);
  assert.deepEqual(
    [...numbers].filter((n) => n > last),
    [],
    `mark ${id} has nothing from after it`,
  );
  rmSync(shop.at(`copy-${id}`), { recursive: true });
}

for (const isStill of [false, true]) {
  const how = isStill ? 'without a gap where no commit is under way' : 'in the midst of commits';
  test(`two failovers in a row, with a rewound server between them, are followed ${how}`, OPTIONS, async (t) => {
    await using world = await openWorld();
    const { shop, one, two, writer } = world;
    const up = await world.startUp();
    const marks = [await world.mark()];
    for (const [failing, next] of [[one, two] as const, [two, one] as const]) {
      if (isStill) await writer.hold();
      if (isStill) marks.push(await world.mark());
      await failOver(world, failing, next);
      writer.goOn();
      marks.push(await world.mark());
      await comeBack(failing, next);
      marks.push(await world.mark());
    }
    const err = await end(up);
    const { gaps, bases, timelineOf } = await recordedOf(shop);
    t.diagnostic(`${writer.last} commits, ${JSON.stringify(gaps)}`);
    assert.deepEqual([...new Set(marks.map(({ id }) => timelineOf(id)))], ['1', '2', '3']);
    assert.equal(bases, 1 + gaps.length, err);
    if (isStill) assert.deepEqual(gaps, [], err);
    for (const reason of gaps) assert.match(reason, /left timeline [12] before/);
    for (const mark of marks) await assertRestores(shop, mark);
  });
}

/** Commits a number that only the primary has, which then fails. The standby takes its place. */
async function failOverLosing({ one, two, writer }: World, number: number, before: () => Promise<void>): Promise<void> {
  await writer.hold();
  await two.stop();
  await one.query("ALTER SYSTEM SET synchronous_standby_names = ''");
  await one.query('SELECT pg_reload_conf()');
  await one.query(`INSERT INTO numbers VALUES (${number})`);
  await before();
  await one.kill();
  await two.start();
  await promote(two);
  writer.moveTo(two);
  writer.goOn();
}

const LOST = 1_000_000;

test(
  'after two failovers while up was away the log goes on through both, without what the first primary alone had',
  OPTIONS,
  async () => {
    await using world = await openWorld();
    const { shop, one, two } = world;
    let up = await world.startUp();
    const first = await world.mark();
    await end(up);
    await failOverLosing(world, LOST, async () => {});
    await comeBack(one, two);
    await failOver(world, two, one);
    up = await world.startUp();
    const last = await world.mark();
    const err = await end(up);
    const { gaps, bases, timelineOf } = await recordedOf(shop);
    assert.deepEqual([gaps, bases], [[], 1], err);
    assert.deepEqual(
      [first, last].map(({ id }) => timelineOf(id)),
      ['1', '3'],
    );
    for (const mark of [first, last]) await assertRestores(shop, mark);
  },
);

test(
  'a commit that a failover lost is in the marks before it and in none after it, and the history has a gap there',
  OPTIONS,
  async () => {
    await using world = await openWorld();
    const { shop, one, two } = world;
    const up = await world.startUp();
    const first = await world.mark();
    let second = first;
    await failOverLosing(world, LOST, async () => {
      second = await world.mark();
    });
    const third = await world.mark();
    await comeBack(one, two);
    await failOver(world, two, one);
    const fourth = await world.mark();
    const err = await end(up);
    const { gaps, bases, timelineOf } = await recordedOf(shop);
    assert.match(gaps[0] ?? '', /left timeline 1 before/, err);
    assert.equal(bases, 1 + gaps.length, err);
    assert.deepEqual(
      [first, second, third, fourth].map(({ id }) => timelineOf(id)),
      ['1', '1', '2', '3'],
    );
    for (const mark of [first, third, fourth]) await assertRestores(shop, mark);
    assert.ok((await restored(shop, second.id)).has(LOST));
  },
);
