import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Position } from '../core/position.ts';
import type { StoreConfiguration } from '../config/configuration.ts';
import { TidemarkError } from '../core/errors.ts';
import { must } from '../core/must.ts';
import type { Log, LogPiece, Recorder } from '../core/recorder.ts';
import type { Run } from '../core/run.ts';
import { createSeededRandom } from '../flow/random.ts';
import { untilAborted } from '../flow/until-aborted.ts';
import { createVirtualClock } from '../flow/virtual-clock.ts';
import type { Spool } from '../io/spool.ts';
import type { RepositoryWriter, WrittenBase } from '../repository/writer.ts';
import { positionAt } from '../testing/repository-fixture.ts';
import { Journal } from './journal.ts';
import { StoreRecording } from './store-recording.ts';
import type { KnownHistory } from './known-history.ts';

const noRun: Run = { signal: new AbortController().signal };

/** A spool that nobody reads again. */
const spool: Spool = {
  sizeBytes: 0,
  lastSequence: 0,
  append: async () => 1,
  async *read() {},
  release: async () => undefined,
  [Symbol.asyncDispose]: async () => undefined,
};

/** Takes whatever is put. */
const writer = {
  sealFrame: (_store: string, payload: Uint8Array) => payload,
  leads: async () => () => true,
  putJournal: async () => undefined,
  publish: async () => undefined,
  joinPacks: async () => undefined,
  ownJournal: async () => ({ runs: [], marks: [] }),
  [Symbol.asyncDispose]: async () => undefined,
} as unknown as RepositoryWriter; // all that a journal calls

/** One attempt to record: what its log does once the base is taken, and its recorder when it is disposed. */
type Attempt = {
  readonly opens?: TidemarkError;
  readonly tells?: readonly LogPiece[];
  readonly log?: () => Promise<void>;
  readonly onDispose?: Promise<void>;
  /** It has no log, and nothing changes. */
  readonly isObserved?: boolean;
  /** Neither a log nor observations. */
  readonly hasOnlyBases?: boolean;
  readonly ping?: Recorder['ping'];
  /** It says where its history begins, so that its bases are costly. */
  readonly begins?: boolean;
};

function dumperOf(ping: Recorder['ping']): Recorder {
  return {
    ...(ping && { ping }),
    lineage: { id: 'fixture' },
    exact: 'observation',
    openBase: () => Promise.reject(new Error('bases are taken by the test')),
    [Symbol.asyncDispose]: async () => undefined,
  };
}

function observerOf(): Recorder {
  return {
    lineage: { id: 'fixture' },
    exact: 'observation',
    openObservations: async () => ({
      observe: async () => undefined,
      changed: (run) => untilAborted(new Promise<void>(() => undefined), run),
      acknowledge: () => undefined,
      [Symbol.asyncDispose]: async () => undefined,
    }),
    openBase: () => Promise.reject(new Error('bases are taken by the test')),
    [Symbol.asyncDispose]: async () => undefined,
  };
}

function recorderOf(
  { tells = [], log = () => new Promise(() => undefined), onDispose, begins = false }: Attempt,
  onFollowed: (after: Position) => void,
): Recorder {
  const openedBy = (run: Run): Log => ({
    async *[Symbol.asyncIterator](): AsyncGenerator<readonly LogPiece[]> {
      for (const piece of tells) yield [piece];
      yield [];
      await untilAborted(log(), run);
    },
    acknowledge: () => undefined,
    [Symbol.asyncDispose]: async () => undefined,
  });
  return {
    lineage: { id: 'fixture' },
    exact: 'position',
    head: async () => positionAt(1),
    ...(begins && { begin: async () => positionAt(1) }),
    openLog: async (after, run) => {
      onFollowed(after);
      return openedBy(run);
    },
    openBase: () => Promise.reject(new Error('bases are taken by the test')),
    [Symbol.asyncDispose]: async () => await onDispose,
  };
}

/** Records a store whose attempts go as they are given; the last one goes on for ever. */
function recordingOf(
  attempts: readonly Attempt[],
  {
    ownSpool = spool,
    known = undefined as KnownHistory | undefined,
    laterBases = Promise.resolve(),
    failedBases = 0,
    failedBaseMs = 0,
    logFrom = undefined as Position | undefined,
    isCollapsed = false,
  } = {},
) {
  const clock = createVirtualClock(1_000_000);
  const random = createSeededRandom(1).bytes;
  const news: string[] = [];
  const bases: number[] = [];
  const asked: (string | undefined)[] = [];
  const followed: string[] = [];
  let at = 0;
  const journal = new Journal({
    clock,
    random,
    flush: { afterMs: 1_000, sizeBytes: 1_000_000 },
    openWriter: async () => writer,
    endWriter: async () => undefined,
    onTrouble: () => undefined,
  });
  const recording = new StoreRecording({
    runtime: { clock, random, logger: { log: () => undefined }, temporaryFolder: '/nowhere' },
    // Nothing else of a store is looked at.
    store: { name: 'orders' } as unknown as StoreConfiguration,
    restMs: 1_000,
    openRecorder: async (previous) => {
      asked.push(previous?.resume);
      const attempt = must(attempts[Math.min(at, attempts.length - 1)], 'an attempt');
      at += 1;
      if (attempt.opens !== undefined) throw attempt.opens;
      if (attempt.hasOnlyBases === true) return dumperOf(attempt.ping);
      if (attempt.isObserved === true) return observerOf();
      return recorderOf(attempt, ({ resume }) => followed.push(resume));
    },
    openSpool: async () => ownSpool,
    journal,
    known,
    writeBase: async ({ allowEmpty }, run) => {
      bases.push(clock.nowMs());
      if (isCollapsed && !allowEmpty) throw collapsed;
      if (bases.length <= failedBases) {
        await clock.sleep(failedBaseMs, run);
        throw away;
      }
      if (bases.length > 1) await untilAborted(laterBases, run);
      const end = { logFrom: logFrom ?? positionAt(bases.length), cut: positionAt(bases.length) };
      const base = { key: `base ${bases.length}`, cut: end.cut, startedAtMs: clock.nowMs(), stored: { end } };
      return base as unknown as WrittenBase; // nothing else is looked at
    },
    onNews: (message) => news.push(message),
  });
  return { clock, journal, recording, news, bases, asked, followed };
}

const away = new TidemarkError('STORE_UNREACHABLE', 'it is away', { disposition: 'retry', hint: 'Wait.' });
const collapsed = new TidemarkError('BASE_COLLAPSED', 'it has collapsed', { hint: 'Allow it.' });
const lost = new TidemarkError('POSITION_LOST', 'it was compacted', { disposition: 'resync' });

/** Runs it while `work` is done, and stops it then. */
async function during(
  { clock, journal, recording }: ReturnType<typeof recordingOf>,
  work: (advance: (ms: number) => Promise<void>) => Promise<void>,
): Promise<void> {
  const stop = new AbortController();
  await clock.runUntil(
    (async () => {
      const running = Promise.all([
        recording.run({ signal: stop.signal }),
        journal.run({ signal: stop.signal }, noRun),
      ]);
      await work((ms) => clock.sleep(ms, noRun));
      stop.abort(new TidemarkError('INTERRUPTED', 'enough'));
      await running;
    })(),
  );
}

test('a trouble that lasts is told once, and again when it comes back', async () => {
  const failed = Promise.withResolvers<void>();
  const world = recordingOf([
    { opens: away },
    { opens: away },
    { opens: away },
    { log: () => failed.promise },
    { opens: away },
    {},
  ]);
  await during(world, async (advance) => {
    await advance(60_000);
    failed.reject(away);
    await advance(60_000);
  });
  const told = 'orders: it is away. Wait.';
  assert.deepEqual(world.news, [told, 'orders: recording', told, 'orders: recording']);
});

test('a store that is away is asked every few seconds whether it is back, however long that lasts', async () => {
  const world = recordingOf([{ opens: away }]);
  await during(world, (advance) => advance(600_000));
  assert.ok(world.asked.length >= 60 && world.asked.length < 200, `${world.asked.length} times in 10 minutes`);
});

test('a store that is just being given up has no position to be marked', async () => {
  const [failed, disposed] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const world = recordingOf([{ log: () => failed.promise, onDispose: disposed.promise }, {}]);
  await during(world, async (advance) => {
    await advance(100);
    assert.deepEqual(await world.recording.position(noRun), positionAt(1));
    failed.reject(away);
    await advance(100);
    await assert.rejects(world.recording.position(noRun), { code: 'STORE_UNREACHABLE' });
    disposed.resolve();
    await advance(60_000);
    assert.deepEqual(await world.recording.position(noRun), positionAt(1));
  });
});

test('while the first base is not there yet, the log goes on from what was received of it', async () => {
  const world = recordingOf([{}], { failedBases: 1 });
  await during(world, (advance) => advance(60_000));
  assert.deepEqual(world.asked, [undefined, positionAt(1).resume]);
  assert.equal(world.bases.length, 2);
});

test('the first base is tried again soon where it failed soon, and seldom where it took long', async () => {
  const restsAfter = async (failedBaseMs: number): Promise<number[]> => {
    const world = recordingOf([{ begins: true }], { failedBases: 3, failedBaseMs });
    await during(world, (advance) => advance(3_600_000));
    return world.bases.slice(1).map((at, index) => at - (world.bases[index] ?? 0) - failedBaseMs);
  };
  const [soon, seldom] = [await restsAfter(50), await restsAfter(20_000)];
  assert.ok(soon.length === 3 && soon.every((restMs) => restMs < 5_000), String(soon));
  assert.ok(seldom.length === 3 && seldom.every((restMs) => restMs >= 10_000), String(seldom));
});

test('a store whose first base has collapsed is recorded at once when that is allowed, and is in marks then', async () => {
  for (const kind of [{ begins: true }, { isObserved: true }, { hasOnlyBases: true }]) {
    const world = recordingOf([kind], { isCollapsed: true });
    await during(world, async (advance) => {
      await advance(600_000);
      const refused = { code: 'STORE_UNREACHABLE', hint: 'Allow it.' };
      await assert.rejects(world.recording.takeBase({ allowEmpty: false }, noRun), refused);
      const askedMs = world.clock.nowMs();
      const { base } = await world.recording.takeBase({ allowEmpty: true }, noRun);
      assert.equal(base.key, `base ${world.bases.length}`);
      assert.equal(world.clock.nowMs(), askedMs);
      await world.recording.position(noRun);
    });
    assert.equal(world.news.at(-1), 'orders: recording');
  }
});

test('who allows a collapsed base hears why the store is not recorded all the same', async () => {
  const world = recordingOf([{}, { opens: away }], { isCollapsed: true });
  await during(world, async (advance) => {
    await advance(10);
    const asking = world.recording.takeBase({ allowEmpty: true }, noRun);
    await assert.rejects(asking, { code: 'STORE_UNREACHABLE', message: 'it is away' });
  });
});

test('a base that needs log from before what is recorded does not count, and that is told', async () => {
  const world = recordingOf([{ begins: true }], { logFrom: positionAt(0) });
  await during(world, async (advance) => {
    await advance(10);
    assert.equal(world.recording.state, 'retrying');
    await assert.rejects(world.recording.position(noRun), { code: 'STORE_UNREACHABLE' });
  });
  assert.match(world.news.join(), /its base needs log from 0 on, and what is recorded begins at 1/);
});

test('a history that is lost before anything was recorded is told, and keeps no other store waiting', async () => {
  const world = recordingOf([{ opens: lost }, { opens: away }]);
  await during(world, async (advance) => {
    await advance(10);
    assert.equal(world.recording.state, 'retrying');
  });
  assert.deepEqual(world.news, [`orders: it was compacted. ${lost.hint}`, 'orders: it is away. Wait.']);
});

test('after a loss a base begins anew at once, but not again and again', async () => {
  const world = recordingOf([{ log: () => Promise.reject(lost) }]);
  await during(world, (advance) => advance(600_000));
  const [first = 0, second = 0] = world.bases;
  // As soon as the gap is in the repository.
  assert.ok(second - first <= 2_000, `${second - first} ms`);
  assert.ok(world.bases.length > 2 && world.bases.length < 60, `${world.bases.length} bases in 10 minutes`);
});

test('what is lost with a damaged spool is a gap since what the repository has, and a base begins anew', async () => {
  const damaged: Spool = {
    ...spool,
    async *read(after) {
      yield [];
      if (after !== undefined) throw lost;
    },
  };
  // No two of them have room in memory.
  const attributes = new Uint8Array(10 * 1024 * 1024);
  const tells = [2, 3].map((order): LogPiece => {
    const changes = [{ name: Buffer.from('a'), attributes }];
    return { changes, commit: { position: positionAt(order), atMs: order } };
  });
  const world = recordingOf([{ tells }, {}], { ownSpool: damaged });
  await during(world, (advance) => advance(30_000));
  assert.deepEqual(
    world.news.map((told) => told.replace(/since [^ ]+:/, 'since then:')),
    ['orders: recording', 'orders: a gap since then: it was compacted', 'orders: recording'],
  );
  assert.deepEqual([world.bases.length, world.recording.gapCount], [2, 1]);
});

test('a base that is being taken when its store ceases to be recorded ends first, with an error of its own', async () => {
  const failed = Promise.withResolvers<void>();
  const ends: string[] = [];
  const disposed = Promise.withResolvers<void>();
  const laterBases = new Promise<void>(() => undefined);
  const world = recordingOf([{ log: () => failed.promise, onDispose: disposed.promise }, {}], { laterBases });
  await during(world, async (advance) => {
    await advance(5_000);
    const taken = world.recording
      .takeBase({ allowEmpty: false }, noRun)
      .catch((error: unknown) => ends.push(String(error)));
    await advance(1_000);
    failed.reject(away);
    await taken;
    assert.deepEqual(ends, ['TidemarkError: orders ceased to be recorded while its base was taken']);
    disposed.resolve();
    await advance(60_000);
  });
  assert.equal(world.recording.state, 'recording');
});

test('where a base needs observations that were not stored a gap is noted and a base begins anew; where all is there it goes on', async () => {
  const known: KnownHistory = { position: positionAt(5), atMs: 900_000 };
  const whole = recordingOf([{ isObserved: true }], { known });
  await during(whole, (advance) => advance(10_000));
  assert.deepEqual([whole.bases.length, whole.news], [0, ['orders: recording']]);
  const unreached = { after: positionAt(3), from: positionAt(6) };
  const broken = recordingOf([{ isObserved: true }], { known: { ...known, unreached } });
  await during(broken, (advance) => advance(10_000));
  assert.deepEqual([broken.bases.length, broken.recording.gapCount], [1, 1]);
  assert.match(broken.news[0] ?? '', /a gap since .*: observations that the newest base needs were not stored/);
});

test('where a base was stored behind the end of the log, that goes on where it ended, or else from the base with a gap', async () => {
  const known = { position: positionAt(9), atMs: 9_000, earlier: { position: positionAt(3), atMs: 3_000 } };
  const there = recordingOf([{}], { known });
  await during(there, (advance) => advance(10_000));
  assert.deepEqual([there.followed, there.bases, there.news], [['3'], [], ['orders: recording']]);

  const gone = recordingOf([{ opens: lost }, {}], { known });
  await during(gone, (advance) => advance(10_000));
  assert.deepEqual([gone.followed, gone.bases], [['9'], []]);
  assert.deepEqual(gone.news, ['orders: a gap since 1970-01-01T00:00:03.000Z: it was compacted', 'orders: recording']);
});

test('what was only backed up before, and can’t be followed from there, begins anew without a gap', async () => {
  const known: KnownHistory = { position: positionAt(5), atMs: 900_000, hasOnlyBases: true };
  const world = recordingOf([{ opens: lost }, {}], { known });
  await during(world, (advance) => advance(10_000));
  assert.deepEqual([world.bases.length, world.recording.gapCount, world.recording.state], [1, 0, 'recording']);
  const told = 'orders: a base begins anew, after backups alone, so that nothing is missing: it was compacted';
  assert.deepEqual(world.news, [told, 'orders: recording']);
});

test('of a store without log or observations marks stand on its newest base, and tell how old that is', async () => {
  const world = recordingOf([{ hasOnlyBases: true }]);
  await during(world, async (advance) => {
    await advance(10_000);
    assert.deepEqual([world.recording.state, world.bases.length], ['recording', 1]);
    assert.deepEqual(await world.recording.position(noRun), positionAt(1));
    await world.recording.received(positionAt(1), noRun);
    assert.deepEqual(world.recording.standingBase, { key: 'base 1', cut: positionAt(1), fromMs: 1_000_000 });
    await world.recording.takeBase({ allowEmpty: false }, noRun);
    assert.deepEqual(world.recording.standingBase, { key: 'base 2', cut: positionAt(2), fromMs: 1_010_000 });
  });
  const base = { key: 'older', cut: positionAt(7), fromMs: 5 };
  const again = recordingOf([{ hasOnlyBases: true }], { known: { position: base.cut, atMs: 10, base } });
  await during(again, (advance) => advance(10_000));
  assert.deepEqual([again.bases.length, again.news], [0, ['orders: recording']]);
});

test('of a store without log or observations it is noticed when it is away, and no mark stands on its base then', async () => {
  let isAway = false;
  const ping = async (): Promise<void> => {
    if (isAway) throw away;
  };
  const world = recordingOf([{ hasOnlyBases: true, ping }]);
  await during(world, async (advance) => {
    await advance(20_000);
    assert.notEqual(world.recording.standingBase, undefined);
    isAway = true;
    await advance(20_000);
    assert.deepEqual([world.recording.state, world.recording.standingBase], ['retrying', undefined]);
    isAway = false;
    await advance(120_000);
    assert.deepEqual([world.recording.state, world.bases.length], ['recording', 1]);
  });
});
