import assert from 'node:assert/strict';
import { must } from '../../core/must.ts';
import type { Run } from '../../core/run.ts';
import type { ObjectStore } from '../../objects/object-store.ts';
import { all, assertHolds, assertRejects, listAll, pattern, readWhole, text } from './check.ts';
import type { CheckContext, ObjectStoreCheck } from './check.ts';

/** More than a store sends or writes in one go. */
const LARGE_BYTES = 12 << 20;
const WATCHED_BYTES = 6 << 20;
const RACERS = 16;

async function createsAnySize({ store, run }: CheckContext): Promise<void> {
  for (const sizeBytes of [0, 1, 2, 4095, 4096, 4097, 65_536, 1_048_577]) {
    const bytes = pattern(sizeBytes, sizeBytes);
    await store.create(`sizes/${sizeBytes}`, [bytes], run);
    await assertHolds(store, `sizes/${sizeBytes}`, bytes, run);
  }
}

async function createsEmpty({ store, run }: CheckContext): Promise<void> {
  const bodies = {
    none: [],
    one: [new Uint8Array(0)],
    three: [new Uint8Array(0), new Uint8Array(0), new Uint8Array(0)],
  };
  for (const [name, body] of Object.entries(bodies)) {
    await store.create(`empty/${name}`, body, run);
    assert.equal((await store.stat(`empty/${name}`, run))?.sizeBytes, 0);
    assert.equal(await store.read(`empty/${name}`, 0, new Uint8Array(10), run), 0);
  }
}

function cut(bytes: Uint8Array, sizes: (index: number) => number): Uint8Array[] {
  const parts: Uint8Array[] = [];
  for (let from = 0; from < bytes.byteLength; ) {
    const size = sizes(parts.length);
    parts.push(bytes.subarray(from, from + size));
    from += size;
  }
  return parts;
}

async function createsFromManyParts({ store, run }: CheckContext): Promise<void> {
  const bytes = pattern(LARGE_BYTES, 3);
  const bodies: Record<string, readonly Uint8Array[]> = {
    whole: [bytes],
    // Every seventh part is empty, and the others are of uneven size.
    many: cut(bytes, (index) => (index % 7 === 0 ? 0 : (index * 37) % 4001)),
    uneven: cut(bytes, (index) => (index === 0 ? 1 : 9_000_001)),
  };
  for (const [name, body] of Object.entries(bodies)) {
    await store.create(`parts/${name}`, body, run);
    await assertHolds(store, `parts/${name}`, bytes, run);
  }
}

async function takesACopy({ store, run }: CheckContext): Promise<void> {
  const bytes = pattern(5000, 1);
  const kept = Uint8Array.from(bytes);
  await store.create('copied', [bytes.subarray(0, 1000), bytes.subarray(1000)], run);
  bytes.fill(0);
  await assertHolds(store, 'copied', kept, run);
}

async function refusesATakenKey({ store, capabilities, run }: CheckContext): Promise<void> {
  await store.create('taken', [text('first')], run);
  if (capabilities.exclusiveCreate) {
    await assertRejects(store.create('taken', [text('second')], run), 'OBJECT_EXISTS');
    await assertRejects(store.create('taken', [], run), 'OBJECT_EXISTS');
    await assertHolds(store, 'taken', text('first'), run);
    return;
  }
  const [second] = await Promise.allSettled([store.create('taken', [text('second')], run)]);
  if (second.status === 'rejected') await assertRejects(Promise.reject(second.reason), 'OBJECT_EXISTS');
  await assertHolds(store, 'taken', text(second.status === 'rejected' ? 'first' : 'second'), run);
}

async function hasOneWinner({ fixture, store, capabilities, run }: CheckContext): Promise<void> {
  await using other = await fixture.openAgain();
  for (const sizeBytes of [0, 100, 300_000]) {
    const key = `race/${sizeBytes}`;
    const bodies = Array.from({ length: RACERS }, (_, racer) =>
      Buffer.concat([text(`${racer};`), pattern(sizeBytes, racer)]),
    );
    const results = await Promise.allSettled(
      bodies.map((body, racer) => (racer % 2 === 0 ? store : other).create(key, [body], run)),
    );
    const winners = bodies.filter((_, racer) => results[racer]?.status === 'fulfilled');
    for (const result of results) {
      if (result.status === 'rejected') await assertRejects(Promise.reject(result.reason), 'OBJECT_EXISTS');
    }
    const found = await readWhole(store, key, run);
    assert.ok(
      winners.some((body) => Buffer.compare(body, found) === 0),
      'what is kept is from one that was told so, whole',
    );
    if (capabilities.exclusiveCreate) assert.equal(winners.length, 1, 'exactly one is told that it created the object');
  }
}

/** Looks again and again until `done`; every sight must be the whole object. Returns how often it looked. */
async function watch(
  store: ObjectStore,
  expected: Uint8Array,
  watched: { key: string; done: Promise<unknown> },
  run: Run,
): Promise<number> {
  const { key } = watched;
  let ended = false;
  const end = watched.done.then(
    () => (ended = true),
    () => (ended = true),
  );
  let looks = 0;
  for (; !ended; looks += 1) {
    const info = await store.stat(key, run);
    assert.ok(info === undefined || info.sizeBytes === expected.byteLength, 'a sight of the object is of all of it');
    const tail = new Uint8Array(1000);
    const [read] = await Promise.allSettled([store.read(key, expected.byteLength - tail.byteLength, tail, run)]);
    if (read.status === 'rejected') await assertRejects(Promise.reject(read.reason), 'OBJECT_NOT_FOUND');
    else assert.ok(Buffer.compare(tail, expected.subarray(-tail.byteLength)) === 0, 'what can be read is whole');
    for (const listed of await listAll(store, { prefix: '' }, run)) {
      assert.equal(listed.key, key, 'nothing else is ever listed');
      assert.equal(listed.sizeBytes, expected.byteLength, 'what is listed is whole');
    }
    await new Promise(setImmediate);
  }
  await end;
  return looks;
}

async function showsNoHalf({ fixture, store, run }: CheckContext): Promise<void> {
  await using other = await fixture.openAgain();
  const bytes = pattern(WATCHED_BYTES, 8);
  const body = cut(bytes, () => 1 << 19);
  const done = store.create('large', body, run);
  const looks = await watch(other, bytes, { key: 'large', done }, run);
  await done;
  assert.ok(looks > 0, 'somebody looked');
  await assertHolds(other, 'large', bytes, run);
}

async function abortsWhole({ fixture, store, run }: CheckContext): Promise<void> {
  await using other = await fixture.openAgain();
  const bytes = pattern(WATCHED_BYTES, 9);
  const body = cut(bytes, () => 1 << 17);
  for (const turns of [0, 1, 3, 10, 30]) {
    const stop = new AbortController();
    const reason = new Error('enough');
    const done = store.create('stopped', body, { signal: AbortSignal.any([stop.signal, run.signal]) });
    const watching = watch(other, bytes, { key: 'stopped', done }, run);
    for (let turn = 0; turn < turns; turn += 1) await new Promise(setImmediate);
    stop.abort(reason);
    const [created] = await Promise.allSettled([done]);
    await watching;
    if (created.status === 'rejected') assert.equal(created.reason, reason, 'the reason of the signal, untouched');
    const info = await other.stat('stopped', run);
    if (created.status === 'fulfilled') assert.ok(info !== undefined, 'created all the same');
    if (info === undefined) continue;
    await assertHolds(other, 'stopped', bytes, run);
    await other.delete(['stopped'], run);
    await fixture.settleListings?.();
  }
}

async function heedsASignalThatHasAborted({ store, run }: CheckContext): Promise<void> {
  await store.create('before', [text('x')], run);
  const reason = new Error('was over before');
  const over: Run = { signal: AbortSignal.abort(reason) };
  const isReason = (error: unknown): boolean => error === reason;
  await assert.rejects(store.create('never', [text('x')], over), isReason);
  await assert.rejects(store.read('before', 0, new Uint8Array(1), over), isReason);
  await assert.rejects(store.stat('before', over), isReason);
  await assert.rejects(store.delete(['before'], over), isReason);
  await assert.rejects(store.nowMs(over), isReason);
  await assert.rejects(listAll(store, { prefix: '' }, over), isReason);
  assert.equal(await store.stat('never', run), undefined);
  await assertHolds(store, 'before', text('x'), run);
}

async function runsManyAtOnce({ store, run }: CheckContext): Promise<void> {
  const bodies = Array.from({ length: 40 }, (_, index) => pattern(index * 997, index));
  await all(bodies.map((body, index) => store.create(`at-once/${index % 4}/${index}`, [body], run)));
  await all(
    bodies.map((body, index) => assertHolds(store, `at-once/${index % 4}/${index}`, must(body, 'a body'), run)),
  );
}

async function ordersTimes({ store, run }: CheckContext): Promise<void> {
  for (const key of ['time/a', 'time/b']) {
    const beforeMs = await store.nowMs(run);
    await store.create(key, [text('x')], run);
    const afterMs = await store.nowMs(run);
    const info = must(await store.stat(key, run), 'what was created');
    assert.ok(
      beforeMs <= info.modifiedMs && info.modifiedMs <= afterMs,
      `${beforeMs} <= ${info.modifiedMs} <= ${afterMs}`,
    );
  }
  assert.ok((await store.nowMs(run)) > Date.parse('2001-01-01'), 'milliseconds since 1970');
}

async function forgetsNothingOnDispose({ fixture, run }: CheckContext): Promise<void> {
  const other = await fixture.openAgain();
  await other.create('kept', [text('x')], run);
  await other.read('kept', 0, new Uint8Array(1), run);
  await other[Symbol.asyncDispose]();
  await other[Symbol.asyncDispose]();
  await assertHolds(fixture.store, 'kept', text('x'), run);
}

export const createChecks: readonly ObjectStoreCheck[] = [
  { title: 'an object of any size reads back as it was created', verify: createsAnySize },
  { title: 'an object may be empty', verify: createsEmpty },
  { title: 'a body is all of its parts, however many', verify: createsFromManyParts },
  { title: 'the parts are the caller’s again once a create has settled', verify: takesACopy },
  { title: 'a key that is taken keeps its object', verify: refusesATakenKey },
  { title: 'of many that create one key at once the right number succeeds', verify: hasOneWinner },
  { title: 'nobody ever sees half of a large object', verify: showsNoHalf },
  { title: 'an aborted create leaves the whole object or none', verify: abortsWhole },
  {
    title: 'a signal that has aborted ends every call with its reason, and without effect',
    verify: heedsASignalThatHasAborted,
  },
  { title: 'many creates and reads run at once', verify: runsManyAtOnce },
  { title: 'the store’s time orders its objects', verify: ordersTimes },
  { title: 'dispose twice is fine and loses nothing', verify: forgetsNothingOnDispose },
];
