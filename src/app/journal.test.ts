import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { LogQueue } from '../archive/log-queue.ts';
import type { LogBlock } from '../archive/log-queue.ts';
import type { ErrorCode } from '../core/error-codes.ts';
import { TidemarkError } from '../core/errors.ts';
import { orderOf } from '../core/position.ts';
import { createSeededRandom } from '../flow/random.ts';
import { createVirtualClock } from '../flow/virtual-clock.ts';
import type { VirtualClock } from '../flow/virtual-clock.ts';
import { openSpool } from '../io/spool.ts';
import type { Spool } from '../io/spool.ts';
import type { JournalDraft } from '../repository/journal-writer.ts';
import type { Mark } from '../repository/mark.ts';
import type { RepositoryWriter } from '../repository/writer.ts';
import { fakeMark } from '../testing/fake-records.ts';
import { positionAt } from '../testing/repository-fixture.ts';
import { temporaryFolder } from '../testing/tree/temporary-folder.ts';
import { Journal } from './journal.ts';
import type { JournaledHistory } from './journal.ts';

const KIB = 1024;
const run = { signal: new AbortController().signal };

type Put = { readonly atMs: number; readonly session: number; readonly told: string };

/** A journal on virtual time over a repository that only notes what is put. */
type Setup = {
  readonly clock: VirtualClock;
  readonly journal: Journal;
  readonly puts: Put[];
  readonly ended: number[];
  readonly disposed: number[];
  readonly troubles: (ErrorCode | undefined)[];
  /** What the next puts fail with. */
  readonly failures: Error[];
  /** How long a put takes. */
  slowMs: number;
  /** The order of the first place that a base leads to, in all histories. */
  restorableFrom: number;
  /** Histories to which nothing in the repository leads any more. */
  readonly unled: Set<string>;
  /** Sessions that have been silent for long. */
  readonly away: Set<number>;
  /** `at`: the order of the place where it begins. */
  history(
    store: string,
    options?: { readonly onLost?: () => void; readonly spool?: Spool; readonly at?: number },
  ): Promise<JournaledHistory>;
  /** Aborts the run, and lets time pass until all is done. */
  stop(): Promise<void>;
};

function setUp(t: TestContext): Setup {
  const clock = createVirtualClock(0);
  const stop = new AbortController();
  let sessions = 0;
  const setup: Setup = {
    clock,
    puts: [],
    ended: [],
    disposed: [],
    troubles: [],
    failures: [],
    slowMs: 0,
    restorableFrom: 0,
    unled: new Set(),
    away: new Set(),
    journal: new Journal({
      clock,
      random: createSeededRandom(1).bytes,
      flush: { afterMs: 1000, sizeBytes: 64 * KIB },
      openWriter: async () => fakeWriter(setup, ++sessions),
      endWriter: async (writer) => void setup.ended.push(sessionOf(writer)),
      onTrouble: (error) => void setup.troubles.push(error?.code),
    }),
    async history(store, { onLost = () => undefined, spool, at = 0 } = {}) {
      const memoryBytes = spool === undefined ? 1e9 : 0;
      const queue = await LogQueue.open(
        { memoryBytes, clock, received: positionAt(at), onPut: () => setup.journal.touch(), spool },
        run,
      );
      const history: JournaledHistory = {
        store,
        queue,
        durable: positionAt(at),
        onDurable: () => undefined,
        onLost,
        isRestorable: ({ order }) => order >= orderOf(setup.restorableFrom),
      };
      setup.journal.add(history);
      return history;
    },
    async stop() {
      stop.abort(new Error('enough'));
      await clock.runUntil(done);
    },
  };
  const done = setup.journal.run({ signal: stop.signal }, run);
  done.catch(() => undefined);
  t.after(() => stop.abort(new Error('the test is over')));
  return setup;
}

function fakeWriter(setup: Setup, session: number): RepositoryWriter {
  const writer = {
    sessionId: String(session),
    sealFrame: (_store: string, payload: Uint8Array) => payload,
    leads: async () => (store: string) => !setup.unled.has(store),
    get wasAway() {
      return setup.away.has(session);
    },
    async putJournal(draft: JournalDraft) {
      await setup.clock.sleep(setup.slowMs, run);
      const failure = setup.failures.shift();
      if (failure !== undefined) throw failure;
      setup.puts.push({ atMs: setup.clock.monotonicMs(), session, told: draftText(draft) });
    },
    publish: async () => undefined,
    joinPacks: async () => undefined,
    ownJournal: async () => ({ runs: [], marks: [] }),
    [Symbol.asyncDispose]: async () => void setup.disposed.push(session),
  };
  // All that a journal calls.
  return writer as unknown as RepositoryWriter;
}

function sessionOf({ sessionId }: RepositoryWriter): number {
  return Number(sessionId);
}

/** `orders 0-3, m without uploads, gap of catalog after 4`. */
function draftText({ segments, marks, gaps }: JournalDraft): string {
  return [
    ...segments.map(({ store, after, upTo }) => `${store} ${Number(after.order)}-${Number(upTo.order)}`),
    ...marks.map(({ id, missing }) => [id, ...missing.map((store) => `without ${store}`)].join(' ')),
    ...gaps.map(({ store, after }) => `gap of ${store} after ${Number(after?.order ?? 0)}`),
  ].join(', ');
}

function block(after: number, upTo: number, sizeBytes = 10): LogBlock {
  const pieces = new Uint8Array(sizeBytes);
  const positions = { after: positionAt(after), upTo: positionAt(upTo) };
  return { pieces, ...positions, fromMs: after * 1000, toMs: upTo * 1000, changes: upTo - after, packs: [] };
}

function markAt(id: string, orders: Readonly<Record<string, number>>): Mark {
  const positions = Object.entries(orders).map(([store, order]) => [store, positionAt(order)] as const);
  return fakeMark(0, { id, positions: Object.fromEntries(positions) }).mark;
}

const told = ({ puts }: Setup): readonly string[] => puts.map((put) => put.told);

test('what comes is put together after the time of a flush, at once when there is much, and nothing while nothing comes', async (t) => {
  const setup = setUp(t);
  const { clock } = setup;
  const orders = await setup.history('orders');
  const catalog = await setup.history('catalog');
  await clock.advance(60_000);
  assert.deepEqual(setup.puts, []);
  await orders.queue.put(block(0, 1), run);
  await clock.advance(600);
  await catalog.queue.put(block(0, 2), run);
  await clock.advance(399);
  assert.deepEqual(setup.puts, []);
  await clock.advance(1);
  assert.deepEqual(told(setup), ['orders 0-1, catalog 0-2']);
  await orders.queue.put(block(1, 2, 63 * KIB), run);
  await orders.queue.put(block(2, 3, KIB), run);
  await clock.advance(0);
  assert.deepEqual(told(setup).slice(1), ['orders 1-3']);
  assert.deepEqual([orders.durable, orders.queue.sizeBytes], [positionAt(3), 0]);
  await setup.stop();
  assert.deepEqual([setup.puts.length, setup.ended, setup.disposed], [2, [1], [1]]);
});

test('after a time away a new session begins, and what nothing leads to any more is lost and not put', async (t) => {
  const setup = setUp(t);
  const { clock, journal, puts } = setup;
  const lost: string[] = [];
  const orders = await setup.history('orders', {
    onLost: () => {
      lost.push('orders');
      journal.drop(orders);
    },
  });
  const catalog = await setup.history('catalog', { onLost: () => lost.push('catalog') });
  const putBoth = async (order: number): Promise<void> => {
    for (const { queue } of [orders, catalog]) await queue.put(block(order, order + 1), run);
    await clock.advance(1_000);
  };
  await putBoth(0);
  setup.away.add(1);
  await putBoth(1);
  assert.deepEqual(lost, []);
  setup.away.add(2);
  setup.unled.add('orders');
  await putBoth(2);
  assert.deepEqual(lost, ['orders']);
  assert.deepEqual(
    puts.map((put) => `${put.session}: ${put.told}`),
    ['1: orders 0-1, catalog 0-1', '2: orders 1-2, catalog 1-2', '3: catalog 2-3'],
  );
  await setup.stop();
  assert.deepEqual([setup.ended, setup.disposed], [[3], [1, 2, 3]]);
});

test('after a slow flush it rests for longer', async (t) => {
  const setup = setUp(t);
  const { clock } = setup;
  const orders = await setup.history('orders');
  setup.slowMs = 2_000;
  for (let at = 0; at < 30; at++) {
    await orders.queue.put(block(at, at + 1), run);
    await clock.advance(1_000);
  }
  assert.deepEqual(
    setup.puts.map(({ atMs }) => atMs),
    [3_000, 11_000, 19_000, 27_000],
  );
  await setup.stop();
  assert.equal(orders.durable.order, positionAt(30).order);
});

test('a mark at a place that no base leads to waits, and lacks the store in the end', async (t) => {
  const setup = setUp(t);
  const { clock, journal } = setup;
  const orders = await setup.history('orders');
  setup.restorableFrom = 3;
  await orders.queue.put(block(0, 4), run);
  void journal.putMark(markAt('early', { orders: 2 }));
  void journal.putMark(markAt('late', { orders: 3 }));
  await clock.advance(1_000);
  assert.deepEqual(told(setup), ['orders 0-4, late']);
  await clock.advance(30_000);
  assert.deepEqual(told(setup).slice(1), ['early without orders']);
  await setup.stop();
});

test('what was found late waits from when it happened, and after a slow flush no less than any other', async (t) => {
  const setup = setUp(t);
  const { clock, journal } = setup;
  const orders = await setup.history('orders');
  const find = async (after: number, sinceMs: number): Promise<void> => {
    await orders.queue.put(block(after, after + 1), run);
    journal.touch(sinceMs);
  };
  await clock.advance(10_000);
  setup.slowMs = 500;
  await find(0, 9_300);
  await clock.advance(2_000);
  await find(1, 11_000);
  await clock.advance(20_000);
  await find(2, 31_000);
  await clock.advance(2_000);
  assert.deepEqual(
    setup.puts.map(({ atMs }) => atMs),
    [10_800, 12_800, 32_500],
  );
  await setup.stop();
});

test('a mark is put with what completes it, and not before it has come', async (t) => {
  const setup = setUp(t);
  const { clock, journal } = setup;
  const orders = await setup.history('orders');
  await setup.history('catalog');
  const mark = journal.putMark(markAt('m', { orders: 2, catalog: 0 }));
  await orders.queue.put(block(0, 1), run);
  await clock.advance(1_000);
  assert.deepEqual(told(setup), ['orders 0-1']);
  await orders.queue.put(block(1, 2), run);
  await clock.advance(0);
  assert.deepEqual(told(setup).slice(1), ['orders 1-2, m']);
  assert.equal((await mark).id, 'm');
  await setup.stop();
});

test('a mark whose store went away waits for it for a while, then is partial, and keeps nobody busy meanwhile', async (t) => {
  const setup = setUp(t);
  const { clock, journal } = setup;
  await setup.history('orders');
  const uploads = await setup.history('uploads');
  await uploads.queue.put(block(0, 1), run);
  const mark = journal.putMark(markAt('m', { orders: 0, uploads: 1 }));
  journal.drop(uploads);
  const other = journal.putMark(markAt('other', { orders: 0, uploads: 0 }));
  await clock.advance(29_000);
  assert.deepEqual(told(setup), ['m without uploads'], 'what it stands on will not come any more');
  await clock.advance(1_000);
  assert.deepEqual(told(setup).slice(1), ['other without uploads']);
  assert.deepEqual([(await mark).missing, (await other).missing], [['uploads'], ['uploads']]);
  await setup.stop();
});

test('what waits is put once the repository is back, however long it was away, and no mark is partial for that', async (t) => {
  const setup = setUp(t);
  const { clock, journal } = setup;
  const orders = await setup.history('orders');
  const away = Array.from({ length: 8 }, () => new TidemarkError('REPOSITORY_UNREACHABLE', 'it is away'));
  setup.failures.push(...away);
  const marks: Promise<Mark>[] = [];
  for (let at = 0; at < 3; at++) {
    await orders.queue.put(block(at, at + 1, 5 * KIB * KIB), run);
    marks.push(journal.putMark(markAt(`m${at + 1}`, { orders: at + 1 })));
  }
  await clock.advance(1_000_000);
  // No record gets larger than what is put at once.
  assert.deepEqual(told(setup), ['orders 0-1, m1', 'orders 1-2, m2', 'orders 2-3, m3']);
  assert.ok((await Promise.all(marks)).every(({ missing }) => missing.length === 0));
  assert.deepEqual(
    [setup.troubles.slice(0, 2), setup.troubles.at(-1)],
    [Array(2).fill('REPOSITORY_UNREACHABLE'), undefined],
  );
  await setup.stop();
  assert.deepEqual(setup.ended, [9], 'sessions that failed are left without an end');
  assert.deepEqual(setup.disposed, [1, 2, 3, 4, 5, 6, 7, 8, 9]);
});

test('what could not be put is tried again without anything new', async (t) => {
  const setup = setUp(t);
  const orders = await setup.history('orders');
  setup.failures.push(new SuppressedError(new Error('while closing'), new TidemarkError('DISK_FULL', 'it is full')));
  await orders.queue.put(block(0, 1), run);
  await setup.clock.advance(60_000);
  assert.deepEqual([told(setup), setup.troubles], [['orders 0-1'], ['DISK_FULL', undefined]]);
  await setup.stop();
});

test('whoever is fenced off tells all histories, and marks on what is observed anew lack the store', async (t) => {
  const setup = setUp(t);
  const { clock, journal } = setup;
  const orders = await setup.history('orders');
  const uploads = await setup.history('uploads', { onLost: () => journal.drop(uploads) });
  setup.failures.push(new TidemarkError('FENCED', 'it was away for too long'));
  await orders.queue.put(block(0, 1), run);
  await uploads.queue.put(block(0, 1), run);
  const mark = journal.putMark(markAt('m', { orders: 1, uploads: 1 }));
  await clock.advance(10_000);
  assert.deepEqual([told(setup), (await mark).missing], [['orders 0-1, m without uploads'], ['uploads']]);
  await setup.stop();
});

/** Waits for what also waits for the disk, which the clock does not see. */
async function whileDiskWorks<T>(clock: VirtualClock, task: Promise<T>): Promise<T> {
  let isDone = false;
  const settled = task.finally(() => {
    isDone = true;
  });
  while (!isDone) {
    await clock.advance(0);
    await sleep(1);
  }
  return await settled;
}

/** Flips a byte in all that waits in a spool. */
function damage(folder: string): void {
  for (const name of readdirSync(folder)) {
    const bytes = readFileSync(join(folder, name));
    bytes[bytes.byteLength - 1] = (bytes.at(-1) ?? 0) ^ 1;
    writeFileSync(join(folder, name), bytes);
  }
}

test('a history whose spool is damaged is told, and the others are put all the same', async (t) => {
  await using folder = temporaryFolder();
  await using spool = await openSpool({ folder: folder.at('spool'), maxBytes: 1e6, random: randomBytes }, run);
  const setup = setUp(t);
  const { journal } = setup;
  let losses = 0;
  const onLost = (): void => {
    losses++;
    journal.drop(orders);
  };
  const orders = await setup.history('orders', { spool, onLost });
  const catalog = await setup.history('catalog');
  await orders.queue.put(block(0, 1), run);
  await catalog.queue.put(block(0, 1), run);
  damage(folder.at('spool'));
  const mark = journal.putMark(markAt('m', { orders: 1, catalog: 1 }));
  const { missing } = await whileDiskWorks(setup.clock, mark);
  assert.deepEqual([losses, told(setup), missing], [1, ['catalog 0-1, m without orders'], ['orders']]);
  assert.deepEqual(setup.troubles, [undefined]);
  await setup.stop();
});

test('a history that ended and whose spool is damaged ended with what is in the repository', async (t) => {
  await using folder = temporaryFolder();
  await using spool = await openSpool({ folder: folder.at('spool'), maxBytes: 1e6, random: randomBytes }, run);
  const setup = setUp(t);
  const { journal } = setup;
  const orders = await setup.history('orders', { spool });
  await orders.queue.put(block(0, 1), run);
  const gap = {
    store: 'orders',
    history: 'orders',
    after: positionAt(1),
    fromMs: 9_000,
    toMs: 9_000,
    reason: 'restored',
  };
  damage(folder.at('spool'));
  const mark = journal.putMark(markAt('m', { orders: 1 }));
  const ended = journal.end(orders, gap);
  const { missing } = await whileDiskWorks(setup.clock, mark);
  assert.deepEqual([told(setup), missing], [['m without orders, gap of orders after 0'], ['orders']]);
  await ended;
  await setup.stop();
});

test('a mark whose positions were read before something was dropped lacks the store, however far it has come since', async (t) => {
  const { clock, journal, puts, history, stop } = setUp(t);
  const first = await history('orders');
  await first.queue.put(block(0, 2), run);
  journal.drop(first);
  const second = await history('orders');
  await second.queue.put(block(0, 4), run);
  void journal.putMark(markAt('early', { orders: 2 }));
  void journal.putMark(markAt('late', { orders: 4 }));
  await clock.advance(2_000);
  assert.deepEqual(
    puts.map(({ told }) => told),
    ['orders 0-4, early without orders, late'],
  );
  await stop();
});

test('a history that begins anew where what was dropped ended can be marked there', async (t) => {
  const setup = setUp(t);
  const { clock, journal } = setup;
  const first = await setup.history('orders');
  await first.queue.put(block(0, 3), run);
  journal.drop(first);
  setup.restorableFrom = 3;
  await setup.history('orders', { at: 3 });
  void journal.putMark(markAt('early', { orders: 2 }));
  void journal.putMark(markAt('there', { orders: 3 }));
  await clock.advance(31_000);
  assert.deepEqual(told(setup), ['there', 'early without orders']);
  await setup.stop();
});

test('what was received of a history that ended is put before its gap, and marks on it are complete', async (t) => {
  const setup = setUp(t);
  const { clock, journal } = setup;
  const orders = await setup.history('orders');
  const catalog = await setup.history('catalog');
  const mark = journal.putMark(markAt('m', { orders: 2, catalog: 1 }));
  await orders.queue.put(block(0, 1, 9 * KIB * KIB), run);
  await orders.queue.put(block(1, 2), run);
  const gap = { store: 'orders', history: 'orders', after: positionAt(2), fromMs: 0, toMs: 0, reason: 'restored' };
  let isTold = false;
  const ended = journal.end(orders, gap).then(() => {
    isTold = true;
  });
  assert.equal(journal.history('orders'), undefined);
  await clock.advance(0);
  assert.deepEqual([told(setup), isTold], [['orders 0-1'], false]);
  await clock.advance(5_000);
  assert.deepEqual([told(setup).slice(1), isTold], [['orders 1-2, gap of orders after 2'], true]);
  await ended;
  await catalog.queue.put(block(0, 1), run);
  await clock.advance(1_000);
  assert.deepEqual([told(setup).slice(2), (await mark).missing], [['catalog 0-1, m'], []]);
  await setup.stop();
});

test('a stop puts what has come, with the marks that it completes, and tells the others', async (t) => {
  const setup = setUp(t);
  const { clock, journal } = setup;
  const orders = await setup.history('orders');
  await orders.queue.put(block(0, 1, 9 * KIB * KIB), run);
  await orders.queue.put(block(1, 2), run);
  const complete = journal.putMark(markAt('complete', { orders: 2 }));
  const pending = journal.putMark(markAt('pending', { orders: 3 }));
  await clock.advance(0);
  await setup.stop();
  assert.deepEqual(told(setup), ['orders 0-1', 'orders 1-2, complete']);
  assert.equal((await complete).id, 'complete');
  await assert.rejects(pending, { code: 'INTERRUPTED' });
  assert.deepEqual([setup.ended, setup.disposed], [[1], [1]]);
});

test('a session is closed only when nobody works with it, and whoever comes meanwhile gets another', async (t) => {
  const setup = setUp(t);
  const { clock, journal } = setup;
  const orders = await setup.history('orders');
  const release = Promise.withResolvers<void>();
  const sessions: number[] = [];
  const first = journal.withWriter(async (writer) => {
    sessions.push(sessionOf(writer));
    await release.promise;
  }, run);
  setup.failures.push(new TidemarkError('REPOSITORY_UNREACHABLE', 'it is away'));
  await orders.queue.put(block(0, 1), run);
  await clock.advance(1_000);
  await journal.withWriter(async (writer) => void sessions.push(sessionOf(writer)), run);
  assert.deepEqual([sessions, setup.disposed], [[1, 2], []]);
  release.resolve();
  await first;
  await clock.advance(10_000);
  assert.deepEqual(setup.disposed, [1]);
  assert.deepEqual(
    setup.puts.map(({ session }) => session),
    [2],
  );
  await setup.stop();
});

test('two who want a session at once get one', async (t) => {
  const setup = setUp(t);
  const used = (): Promise<number> => setup.journal.withWriter(async (writer) => sessionOf(writer), run);
  assert.deepEqual(await Promise.all([used(), used()]), [1, 1]);
  await setup.stop();
  assert.deepEqual([setup.ended, setup.disposed], [[1], [1]]);
});

test('after an hour it goes on in a new session', async (t) => {
  const setup = setUp(t);
  const { clock } = setup;
  const orders = await setup.history('orders');
  for (let at = 0; at < 70; at++) {
    await orders.queue.put(block(at, at + 1), run);
    await clock.advance(60_000);
  }
  assert.deepEqual([...new Set(setup.puts.map(({ session }) => session))], [1, 2]);
  assert.deepEqual([setup.ended, setup.disposed], [[1], [1]]);
  await setup.stop();
});
