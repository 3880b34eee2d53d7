import assert from 'node:assert/strict';
import { isoTime } from '../../src/app/shown.ts';
import type { NearestResult } from '../../src/app/results.ts';
import { must } from '../../src/core/must.ts';
import { ENGINE_STORES } from './engine-model.ts';
import type { EngineModel } from './engine-model.ts';
import { restoredCounters, restoredTo, RestoreRefused } from './engine-restored.ts';
import type { Counters, Restored } from './engine-restored.ts';
import { keepResult } from './engine-world.ts';
import type { EngineWorld, Recorded, TakenMark } from './engine-world.ts';
import { ENGINES_LONGER, isFull, isLonger } from './world.ts';

/** How many of the marks that a scenario does not name are restored, the newest one among them. */
const RESTORED = isLonger ? 4 * ENGINES_LONGER : 1;
/** Of those that it names, the last ones. */
const NAMED = isFull ? Number.POSITIVE_INFINITY : 2;
/** How many times are restored: every other one with `--per-store`. */
const TIMES = isLonger ? Math.ceil(2.5 * ENGINES_LONGER) : 2;
/** By so much the times of files may be behind the clock. */
const COARSE_MS = 20;

/** `ids`: of marks that were promised. `times`: how many random times are restored at the quick level as well. */
type Chosen = { readonly recorded: Recorded; readonly ids: readonly string[]; readonly times?: number };

/** Restores marks and random times, and checks that what came back is what was there. */
export async function checkRestored(world: EngineWorld, model: EngineModel, chosen: Chosen): Promise<void> {
  const { recorded, ids, times = 0 } = chosen;
  for (const mark of chosenMarks(world, recorded, ids)) {
    checkMark(world, { model, mark, counters: await restoredCounters(world, mark.id) });
  }
  const { complete } = recorded;
  const [first, last] = [must(complete.at(0), 'a first mark'), must(complete.at(-1), 'a last mark')];
  for (let count = 0; count < (isFull ? TIMES : times); count++) {
    const timeMs = Math.ceil(first.atMs) + world.random.integer(Math.max(1, Math.floor(last.atMs - first.atMs)));
    if (count % 2 === 0) await checkPerStore(world, { model, recorded, timeMs });
    else await checkTime(world, { model, recorded, timeMs });
  }
}

/** The marks of these ids, the newest complete one, and some more that are complete. */
function chosenMarks(
  { random }: EngineWorld,
  { marks, complete }: Recorded,
  ids: readonly string[],
): readonly TakenMark[] {
  const named = marks.filter(({ id }) => ids.includes(id));
  assert.deepEqual(
    ids.filter((id) => !named.some((mark) => mark.id === id)),
    [],
    'marks that were promised',
  );
  const others = complete.filter(({ id }) => !ids.includes(id));
  const some = random.shuffle(others.slice(0, -1)).slice(0, RESTORED - 1);
  return [...named.slice(-NAMED), ...some, ...(isFull ? others.slice(-1) : [])];
}

/** All stores stand where they may, what a row names is there, and a sealed mark is of one moment. */
function checkMark(
  { seed }: EngineWorld,
  { model, mark, counters }: { readonly model: EngineModel; readonly mark: TakenMark; readonly counters: Counters },
): void {
  const { id, span } = mark;
  const told = `seed ${seed}, mark ${id}`;
  for (const store of ENGINE_STORES) {
    const isPossible = model.isPossible(store, counters[store], span);
    assert.ok(isPossible, `${told}: ${model.told(store, counters[store], span)}`);
  }
  assert.ok(counters.uploads >= counters.orders, `${told}: ${JSON.stringify(counters)}`);
  if (mark.class !== 'sealed') return;
  assert.equal(new Set(Object.values(counters)).size, 1, `${told}: ${JSON.stringify(counters)}`);
}

type AtTime = { readonly model: EngineModel; readonly recorded: Recorded; readonly timeMs: number };

/** A time means the newest complete mark at or before it. It is refused where something was not recorded since that mark. */
async function checkTime(world: EngineWorld, { model, recorded, timeMs }: AtTime): Promise<void> {
  const time = isoTime(timeMs);
  const mark = must(before(recorded, timeMs), 'a mark before the time');
  let restored: Restored;
  try {
    restored = await restoredTo(world, ['--to', time]);
  } catch (error) {
    if (!(error instanceof RestoreRefused) || error.code !== 'TARGET_IN_GAP') throw error;
    const isInGap = recorded.gapTimes.some(({ fromMs, toMs }) => fromMs < timeMs && mark.atMs <= toMs);
    assert.ok(isInGap, `seed ${world.seed}, ${time}: ${error.message}\n${JSON.stringify(recorded.gapTimes)}`);
    keepResult({ seed: world.seed, refused: time });
    return;
  }
  const { id } = restored.result['mark'] as { readonly id: string }; // as a restore to a mark tells
  assert.equal(id, mark.id, `seed ${world.seed}, ${time}`);
  checkMark(world, { model, mark, counters: restored.counters });
}

/**
 * Each store holds what it held at a moment that is not after the time that its place is said to be of, which is not after the time that was asked for.
 *
 * How old it may be: Redis dates what was written by when it came, and PostgreSQL what was committed together by the last of it, so that no number of
 * milliseconds is promised. But a mark is stored only after all that it covers has come, so that no store is older than the newest mark that was stored by
 * then. The embedded store dates each transaction itself: of what is covered it is the last one before the time, exactly.
 */
async function checkPerStore(world: EngineWorld, { model, recorded, timeMs }: AtTime): Promise<void> {
  const time = isoTime(timeMs);
  const { counters, result } = await restoredTo(world, ['--to', time, '--per-store']);
  const told = `seed ${world.seed}, each store at ${time}`;
  assert.deepEqual([result['mark'], result['at']], [undefined, time], told);
  const stores = result['stores'] as readonly { readonly store: string; readonly nearest: NearestResult }[]; // as `results.ts` has it
  const stored = recorded.complete.findLast(({ storedMs }) => storedMs + COARSE_MS <= timeMs);
  for (const store of ENGINE_STORES) {
    const { nearest } = must(
      stores.find((one) => one.store === store),
      `a result of ${store}`,
    );
    const atMs = Date.parse(nearest.at);
    assert.deepEqual([nearest.distanceMs >= 0, Math.round(timeMs - atMs - nearest.distanceMs)], [true, 0], told);
    // Of two hosts that record it one does not know what the other found later.
    const isWhole = recorded.gaps(store).length === 0 && recorded.bases(store) === 1;
    assert.ok(nearest.covered || !isWhole, `${told}: ${store} was recorded then`);
    const isExact = store === 'catalog' && nearest.covered;
    const span = { fromMs: isExact ? timeMs : (stored?.span.fromMs ?? 0), toMs: isExact ? timeMs : atMs };
    const isPossible = model.isPossible(store, counters[store], span);
    assert.ok(isPossible, `${told}, ${JSON.stringify(nearest)}: ${model.told(store, counters[store], span)}`);
  }
}

function before({ complete }: Recorded, timeMs: number): TakenMark | undefined {
  return complete.findLast(({ atMs }) => atMs <= timeMs);
}
