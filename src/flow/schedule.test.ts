import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { previousOccurrence } from '../core/cron-times.ts';
import type { Run } from '../core/run.ts';
import { createSeededRandom } from './random.ts';
import { runOnSchedule } from './schedule.ts';
import type { ScheduleOptions } from './schedule.ts';
import { createVirtualClock } from './virtual-clock.ts';
import type { VirtualClock } from './virtual-clock.ts';

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;
const START = '2026-05-01T00:10';

function iso(atMs: number): string {
  return new Date(atMs).toISOString().slice(0, 16);
}

function utc(text: string): number {
  return Date.parse(`${text}Z`);
}

type Started = AsyncDisposable & {
  readonly clock: VirtualClock;
  /** The times that were run, each with the wall clock's as it began. */
  readonly runs: readonly { readonly due: string; readonly began: string; readonly delayMs: number }[];
  readonly ended: Promise<void>;
};

/** A schedule that runs from the start of these tests on, without jitter. Ends when it is disposed. */
function start(
  options: Partial<ScheduleOptions> & { readonly work?: (clock: VirtualClock, run: Run) => Promise<void> },
): Started {
  const clock = createVirtualClock(utc(START));
  const controller = new AbortController();
  const runs: Started['runs'][number][] = [];
  const { work = async () => undefined, ...changes } = options;
  const ended = runOnSchedule(
    {
      schedule: '0 * * * *',
      timezone: 'UTC',
      clock,
      random: createSeededRandom('schedule').bytes,
      jitterMs: 0,
      lastRunMs: undefined,
      async onDue(occurrenceMs, run) {
        const nowMs = clock.nowMs();
        runs.push({ due: iso(occurrenceMs), began: iso(nowMs), delayMs: nowMs - occurrenceMs });
        await work(clock, run);
      },
      ...changes,
    },
    controller,
  );
  const outcome = ended.catch((error: unknown) => error);
  return {
    clock,
    runs,
    ended,
    async [Symbol.asyncDispose]() {
      controller.abort(new Error('the test is over'));
      await outcome;
      assert.equal(clock.sleeping, 0);
    },
  };
}

function dueTimes({ runs }: Started): readonly string[] {
  return runs.map(({ due }) => due);
}

test('each time of the schedule is run when it has come', async () => {
  await using started = start({});
  await started.clock.advance(3 * HOUR_MS);
  assert.deepEqual(dueTimes(started), ['2026-05-01T01:00', '2026-05-01T02:00', '2026-05-01T03:00']);
  assert.ok(started.runs.every(({ delayMs }) => delayMs === 0));
});

test('times are of the zone that is named', async () => {
  await using started = start({ schedule: '30 6 * * *', timezone: 'Asia/Kolkata' });
  await started.clock.advance(DAY_MS);
  assert.deepEqual(dueTimes(started), ['2026-05-01T01:00']);
});

test('a run begins up to the jitter late, not always the same', async () => {
  await using started = start({ jitterMs: 10 * MINUTE_MS });
  await started.clock.advance(30 * HOUR_MS);
  const delays = started.runs.map(({ delayMs }) => delayMs);
  assert.equal(delays.length, 30);
  assert.ok(delays.every((delayMs) => delayMs >= 0 && delayMs < 10 * MINUTE_MS));
  assert.ok(Math.min(...delays) < 2 * MINUTE_MS && Math.max(...delays) > 8 * MINUTE_MS);
});

test('what was missed before the start is caught up once, at once, as the newest of it', async () => {
  await using started = start({ lastRunMs: utc('2026-04-28T17:00') });
  await started.clock.advance(HOUR_MS);
  assert.deepEqual(
    started.runs.map(({ due, began }) => [due, began]),
    [
      ['2026-05-01T00:00', START],
      ['2026-05-01T01:00', '2026-05-01T01:00'],
    ],
  );
});

test('nothing was missed when the last time was run, or when there has been no run', async () => {
  for (const lastRunMs of [utc('2026-05-01T00:00'), utc('2026-05-01T00:05'), undefined]) {
    await using started = start({ lastRunMs });
    await started.clock.advance(49 * MINUTE_MS);
    assert.deepEqual(dueTimes(started), []);
    await started.clock.advance(MINUTE_MS);
    assert.deepEqual(dueTimes(started), ['2026-05-01T01:00']);
  }
});

test('times that pass during a run are caught up once after it, and runs never overlap', async () => {
  let atOnce = 0;
  await using started = start({
    async work(clock, run) {
      atOnce += 1;
      assert.equal(atOnce, 1);
      await clock.sleep(150 * MINUTE_MS, run);
      atOnce -= 1;
    },
  });
  await started.clock.advance(8 * HOUR_MS);
  assert.deepEqual(
    started.runs.map(({ due, began }) => [due.slice(11), began.slice(11)]),
    [
      ['01:00', '01:00'],
      ['03:00', '03:30'],
      ['06:00', '06:00'],
    ],
  );
});

test('a time that comes during the jitter of another takes its place', async () => {
  await using started = start({ schedule: '* * * * *', jitterMs: 10 * MINUTE_MS });
  await started.clock.advance(2 * HOUR_MS);
  const dues = dueTimes(started);
  assert.ok(dues.length > 10 && dues.length < 60, `${dues.length}`);
  assert.ok(started.runs.every(({ delayMs }) => delayMs < MINUTE_MS));
});

test('when the clock is set forward, what it jumped over is run once, within a minute', async () => {
  await using started = start({ schedule: '0 3 * * *' });
  await started.clock.advance(30 * MINUTE_MS);
  started.clock.jumpWall(3 * DAY_MS + 12 * HOUR_MS);
  await started.clock.advance(MINUTE_MS);
  assert.deepEqual(dueTimes(started), ['2026-05-04T03:00']);
  await started.clock.advance(DAY_MS);
  assert.deepEqual(dueTimes(started), ['2026-05-04T03:00', '2026-05-05T03:00']);
});

test('when the clock is set back nothing is run twice, and it goes on with the first time after those', async () => {
  await using started = start({});
  await started.clock.advance(2 * HOUR_MS);
  started.clock.jumpWall(-100 * MINUTE_MS);
  await started.clock.advance(3 * HOUR_MS);
  assert.deepEqual(dueTimes(started), ['2026-05-01T01:00', '2026-05-01T02:00', '2026-05-01T03:00']);
});

test('a clock that is set back just before a time runs it when it comes, and not before', async () => {
  await using started = start({});
  await started.clock.advance(49 * MINUTE_MS);
  started.clock.jumpWall(-30 * MINUTE_MS);
  await started.clock.advance(30 * MINUTE_MS);
  assert.deepEqual(dueTimes(started), []);
  await started.clock.advance(MINUTE_MS);
  assert.deepEqual(started.runs, [{ due: '2026-05-01T01:00', began: '2026-05-01T01:00', delayMs: 0 }]);
});

test('a clock that is set back during the jitter changes nothing about the time that has come', async () => {
  await using started = start({ jitterMs: 10 * MINUTE_MS, random: (sizeBytes) => new Uint8Array(sizeBytes).fill(255) });
  await started.clock.advance(55 * MINUTE_MS);
  started.clock.jumpWall(-20 * MINUTE_MS);
  await started.clock.advance(2 * HOUR_MS);
  assert.deepEqual(
    started.runs.map(({ due, began }) => [due.slice(11), began.slice(11)]),
    [
      ['01:00', '00:49'],
      ['02:00', '02:09'],
    ],
  );
});

test('set back by more than a day, a clock was wrong before: the schedule goes on from what it shows now', async () => {
  await using started = start({});
  started.clock.jumpWall(3650 * DAY_MS);
  await started.clock.advance(HOUR_MS);
  assert.equal(started.runs.length, 2);
  started.clock.jumpWall(-3650 * DAY_MS);
  await started.clock.advance(HOUR_MS);
  assert.deepEqual(dueTimes(started).slice(2), ['2026-05-01T02:00']);
});

test('a last run from a far future is not believed', async () => {
  await using started = start({ lastRunMs: utc('2036-01-01T00:00') });
  await started.clock.advance(HOUR_MS);
  assert.deepEqual(dueTimes(started), ['2026-05-01T01:00']);
});

test('it ends with the signal’s reason, whether it waits, or something runs', async () => {
  for (const minutes of [20, 55]) {
    const controller = new AbortController();
    const reason = new Error('enough');
    const clock = createVirtualClock(utc(START));
    const ended = runOnSchedule(
      {
        schedule: '0 * * * *',
        timezone: 'UTC',
        clock,
        random: createSeededRandom(1).bytes,
        jitterMs: 0,
        lastRunMs: undefined,
        onDue: (_, run) => clock.sleep(HOUR_MS, run),
      },
      controller,
    );
    const outcome = assert.rejects(ended, reason);
    await clock.advance(minutes * MINUTE_MS);
    controller.abort(reason);
    await outcome;
    assert.equal(clock.sleeping, 0);
  }
});

test('what a run throws ends it', async () => {
  await using started = start({ work: () => Promise.reject(new RangeError('x')) });
  await assert.rejects(started.clock.runUntil(started.ended), RangeError);
});

test('a schedule that means no time ends at once', async () => {
  await using started = start({ schedule: '0 0 31 2 *' });
  await started.ended;
  assert.deepEqual(started.runs, []);
});

test('over any jumps of the clock each run is of a later time than the one before, and what has come is run within a minute', async () => {
  const jump = fc.record({
    waitMs: fc.integer({ min: 0, max: 5 * HOUR_MS }),
    byMs: fc.integer({ min: -8 * HOUR_MS, max: 30 * HOUR_MS }),
  });
  await fc.assert(
    fc.asyncProperty(
      fc.array(jump, { maxLength: 12 }),
      fc.constantFrom('0 * * * *', '*/7 * * * *', '30 2 * * *'),
      async (jumps, schedule) => {
        await using started = start({ schedule, timezone: 'Europe/Berlin' });
        const { clock, runs } = started;
        // It is never set back further than that behind the latest time that it showed: more would be taken for a repair.
        const trustedMs = 20 * HOUR_MS;
        let latestMs = clock.nowMs();
        for (const { waitMs, byMs } of jumps) {
          await clock.advance(waitMs);
          latestMs = Math.max(latestMs, clock.nowMs());
          clock.jumpWall(Math.max(byMs, latestMs - trustedMs - clock.nowMs()));
          // Until it looks at the clock again.
          await clock.advance(MINUTE_MS);
          latestMs = Math.max(latestMs, clock.nowMs());
          const newest = iso(previousOccurrence(schedule, 'Europe/Berlin', clock.nowMs()) ?? 0);
          if (newest > START) assert.ok((runs.at(-1)?.due ?? '') >= newest, `${newest} has come and is run`);
        }
        for (const [index, { due, delayMs }] of runs.entries()) {
          assert.ok(delayMs >= 0, `${due} has come`);
          assert.ok(index === 0 || due > (runs[index - 1]?.due ?? ''), `${due} comes once`);
        }
        await clock.advance(trustedMs);
        const before = runs.length;
        await clock.advance(DAY_MS + HOUR_MS);
        assert.ok(runs.length > before, 'it goes on');
      },
    ),
    { numRuns: 30 },
  );
});
