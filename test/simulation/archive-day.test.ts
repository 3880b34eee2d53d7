import assert from 'node:assert/strict';
import process from 'node:process';
import { test } from 'node:test';
import { Journal } from '../../src/app/journal.ts';
import { LogQueue } from '../../src/archive/log-queue.ts';
import { must } from '../../src/core/must.ts';
import { orderOf } from '../../src/core/position.ts';
import type { Position } from '../../src/core/position.ts';
import type { Run } from '../../src/core/run.ts';
import type { RepositoryAccess } from '../../src/repository/access.ts';
import { loadCatalogue } from '../../src/repository/catalogue.ts';
import type { Catalogue } from '../../src/repository/catalogue.ts';
import { PayloadBuilder } from '../../src/repository/format/log-payload.ts';
import { sweep } from '../../src/repository/sweep.ts';
import { RepositoryWriter } from '../../src/repository/writer.ts';
import { CountedStore } from './archive-stores.ts';
import { MINUTE_MS } from './archive-world.ts';
import { createMemoryChunkIndex } from './memory-chunk-index.ts';
import { createEmptyTemplate, engineOf } from './template.ts';
import type { Template } from './template.ts';
import { realProtocol, World } from './world.ts';

const HOUR_MS = 60 * MINUTE_MS;
const LEASE_MS = 30 * MINUTE_MS;
/** A whole day takes a quarter of an hour of work: these are its first hours. */
const HOURS = process.env['TIDEMARK_TEST_LEVEL'] === 'full' ? 5 : 1.25;
const STORES = 10;
/** Each second so many stores, in turn, have changed. */
const CHANGED = 2;
const MARK_MS = 5_000;
/** What a day may leave behind, and each store's plan to any moment of it. */
const MOST_OBJECTS = 2000;
const MOST_SEGMENTS = 60;
const MOST_READ = 1.2;

const run: Run = { signal: new AbortController().signal };
const info = { application: 'simulated', host: 'day', command: 'up', tool: 'simulation' };

function positionAt(store: string, order: number): Position {
  return { lineage: store, order: orderOf(order), resume: `r${order}` };
}

/** Stores that change without a rest, an agent's journal, and a sweep each hour. */
class Day {
  readonly world: World;
  readonly access: RepositoryAccess;
  /** So many objects were there at a time. */
  most = 0;
  readonly #journal: Journal;
  readonly #names = Array.from({ length: STORES }, (_, at) => `store${at}`);
  readonly #orders = new Map(this.#names.map((name) => [name, 0]));
  readonly #queues = new Map<string, LogQueue>();

  constructor(template: Template) {
    this.world = new World({ seed: 0, template, protocol: realProtocol, isPlain: true });
    const { clock, memory, random } = this.world;
    const access = this.world.access(0);
    this.access = { ...access, objects: memory, runtime: { ...access.runtime, clock } };
    this.#journal = new Journal({
      clock,
      random: random.bytes,
      flush: { afterMs: 1000, sizeBytes: 2 ** 20 },
      openWriter: () => this.#openWriter(),
      endWriter: (writer) => writer.end(run),
      onTrouble: (error) => {
        if (error !== undefined) this.world.violate(error.message);
      },
    });
  }

  async play(): Promise<void> {
    const { clock } = this.world;
    await this.#takeBases();
    const stop = new AbortController();
    const journaled = this.#journal.run({ signal: stop.signal }, run);
    await Promise.all([this.#work(), this.#sweepHourly()]);
    stop.abort(new Error('the day is over'));
    await journaled;
    for (let turn = 0; turn < 4; turn += 1) {
      await clock.sleep(2.5 * LEASE_MS, run);
      await this.#sweep();
    }
  }

  async #openWriter(): Promise<RepositoryWriter> {
    const { access } = this;
    const openEngine = engineOf(access);
    const openIndex = async () => createMemoryChunkIndex();
    const engines = { openEngine, openRetryEngine: openEngine };
    const options = { access, info, stateFolder: undefined, dryRun: false, remembered: [], openIndex, ...engines };
    return await RepositoryWriter.open(options, run);
  }

  async #takeBases(): Promise<void> {
    await using writer = await this.#openWriter();
    for (const name of this.#names) {
      await using base = new CountedStore(name).openBase(async () => undefined);
      const request = { store: name, history: name, exact: 'position', connector: 'simulated', url: '' } as const;
      await writer.writeBase({ ...request, base, manifest: '', allowEmpty: true, onProgress: () => undefined }, run);
      const received = positionAt(name, 0);
      const onPut = (): void => this.#journal.touch();
      const queue = await LogQueue.open({ memoryBytes: 1e9, clock: this.world.clock, received, onPut }, run);
      this.#queues.set(name, queue);
      const history = { store: name, queue, durable: received };
      this.#journal.add({ ...history, onDurable: () => undefined, onLost: () => undefined, isRestorable: () => true });
    }
    await writer.end(run);
  }

  async #work(): Promise<void> {
    for (let second = 0; second < (HOURS * HOUR_MS) / 1000; second += 1) {
      for (let at = 0; at < CHANGED; at += 1) {
        await this.#change(must(this.#names[(second * CHANGED + at) % STORES], 'a store'));
      }
      if ((second * 1000) % MARK_MS === 0) this.#mark();
      await this.world.clock.sleep(1000, run);
    }
  }

  async #change(name: string): Promise<void> {
    const order = (this.#orders.get(name) ?? 0) + 1;
    this.#orders.set(name, order);
    const atMs = this.world.clock.nowMs();
    const builder = new PayloadBuilder();
    const commit = { position: positionAt(name, order), atMs };
    builder.piece({ changes: [{ name: Buffer.from('counter'), attributes: Buffer.from(`${order}`) }], commit });
    const places = { after: positionAt(name, order - 1), upTo: commit.position };
    const block = { ...places, pieces: builder.takePieces(), fromMs: atMs, toMs: atMs, changes: 1, packs: [] };
    await must(this.#queues.get(name), 'a queue').put(block, run);
  }

  #mark(): void {
    const positions = Object.fromEntries([...this.#orders].map(([name, order]) => [name, positionAt(name, order)]));
    const atMs = this.world.clock.nowMs();
    const id = `mark-${atMs}`;
    void this.#journal.putMark({ id, tags: [], class: 'clock', atMs, skewMs: 0, positions, bases: {}, missing: [] });
  }

  async #sweepHourly(): Promise<void> {
    for (let hour = 0; hour < HOURS; hour += 1) {
      await this.world.clock.sleep(HOUR_MS, run);
      await this.#sweep();
    }
  }

  async #sweep(): Promise<void> {
    this.most = Math.max(this.most, this.world.memory.keys().length);
    await sweep({ access: this.access, info, remembered: [], apply: true }, run);
  }
}

type Plans = { readonly longest: number; readonly readFactor: number };

/** Over all positions of all marks: the segments of the longest plan, and how much of the log is read for each byte of it that leads there. */
function plansOf({ marks, histories }: Catalogue): Plans {
  let [longest, readBytes, neededBytes] = [0, 0, 0];
  for (const { mark, credential } of marks) {
    for (const [name, position] of Object.entries(mark.positions)) {
      const plan = must(histories.get(name)?.planTo({ position, credential }), `a plan for ${name}`);
      longest = Math.max(longest, plan.segments.length);
      for (const { after, upTo, storedBytes } of plan.segments) {
        const [from, to] = [Number(after.order), Number(upTo.order)];
        readBytes += storedBytes;
        neededBytes += (storedBytes * (Math.min(to, Number(position.order)) - from)) / (to - from);
      }
    }
  }
  return { longest, readFactor: readBytes / neededBytes };
}

test(`${HOURS} hours of a flush a second over ${STORES} stores become few objects, and few segments lead to any moment`, async (t) => {
  const day = new Day(await createEmptyTemplate(Date.parse('2026-03-01T00:00:00Z'), LEASE_MS));
  const { clock, memory, violations } = day.world;
  await clock.runUntil(day.play());
  const catalogue = await loadCatalogue(day.access, [], run);
  assert.deepEqual([...violations, ...catalogue.findings], []);
  assert.equal(catalogue.marks.length, (HOURS * HOUR_MS) / MARK_MS);
  const { longest: segments, readFactor } = plansOf(catalogue);
  const keys = memory.keys();
  const folders = Map.groupBy(keys, (key) => key.split('/')[0] ?? '');
  const left = Object.fromEntries([...folders].map(([folder, own]) => [folder, own.length]));
  const figures = {
    hours: HOURS,
    flushes: HOURS * 3600,
    most: day.most,
    objects: keys.length,
    segments,
    readFactor,
    left,
  };
  t.diagnostic(JSON.stringify(figures));
  // The marks since the last hour are merged with the next one.
  assert.ok(keys.length <= Math.min(MOST_OBJECTS, 300 + (MOST_OBJECTS * HOURS) / 24), `${keys.length} objects`);
  assert.ok(segments <= MOST_SEGMENTS, `${segments} segments`);
  // A segment of an hour is read whole, which is much of a few hours and little of a day.
  assert.ok(readFactor <= Math.max(MOST_READ, 1 + 1.5 / HOURS), `${readFactor} times as much is read`);
});
