import { must } from '../../src/core/must.ts';
import { createSeededRandom } from '../../src/flow/random.ts';
import type { SeededRandom } from '../../src/flow/random.ts';
import type { ObjectStore } from '../../src/objects/object-store.ts';
import { addPassphrase } from '../../src/repository/access.ts';
import { loadCatalogue } from '../../src/repository/catalogue.ts';
import type { Catalogue } from '../../src/repository/catalogue.ts';
import type { SegmentDraft } from '../../src/repository/journal-writer.ts';
import type { Mark } from '../../src/repository/mark.ts';
import { forget, inMaintainerSession, setPinned } from '../../src/repository/maintainer.ts';
import type { MaintainerOptions } from '../../src/repository/maintainer.ts';
import { sweep } from '../../src/repository/sweep.ts';
import type { MemorySnapshot } from '../../src/testing/memory-object-store.ts';
import { positionAt, RepositoryFixture } from '../../src/testing/repository-fixture.ts';
import type { FixtureEntry, FixtureMark, FixtureStore } from '../../src/testing/repository-fixture.ts';

const LEASE_MS = 60_000;
const DAY_MS = 86_400_000;

/** A repository with objects of every kind, and what was put into it. */
export type World = {
  readonly fixture: RepositoryFixture;
  readonly whole: MemorySnapshot;
  /** By the manifest's key: what the base was made of. By mark and store: what was there, where a log leads to it. */
  readonly originals: ReadonlyMap<string, FixtureStore>;
  /** Marks that can be restored, with the key of their journal object. */
  readonly marks: readonly {
    readonly id: string;
    readonly key: string;
    readonly bases: Readonly<Record<string, string>>;
    /** Stores of it that only a log leads to. */
    readonly logged: readonly string[];
  }[];
  /** Objects that were deleted on the way, and their bytes. */
  readonly removed: ReadonlyMap<string, Uint8Array>;
  /** Object keys in the order in which they were put. */
  readonly inOrder: readonly string[];
  readonly catalogue: Catalogue;
};

/** Small and middle-sized contents, one with a list, one that is empty, entries without content, and a name that is no text. */
function filesStore(random: SeededRandom): Map<string, { attributes: Uint8Array; content?: Uint8Array }> {
  const store = new Map<string, { attributes: Uint8Array; content?: Uint8Array }>([
    ['', { attributes: random.bytes(20) }],
    ['empty', { attributes: random.bytes(20), content: new Uint8Array(0) }],
    ['folder', { attributes: random.bytes(20) }],
    ['folder\0\xff\xfe not text', { attributes: random.bytes(30), content: random.bytes(700) }],
    ['large', { attributes: random.bytes(20), content: random.bytes(150_000) }],
  ]);
  for (let number = 0; number < 12; number++) {
    const content = random.chance(0.5)
      ? random.bytes(random.integer(6000))
      : Buffer.alloc(random.integer(9000), `text ${number} `);
    store.set(`folder\0file ${number}`, { attributes: random.bytes(40), content });
  }
  return store;
}

function changed(store: FixtureStore, random: SeededRandom): FixtureStore {
  const next = new Map(store);
  for (const name of random.shuffle([...store.keys()].filter((key) => key.startsWith('folder\0file'))).slice(0, 4)) {
    next.set(name, { attributes: random.bytes(40), content: random.bytes(random.integer(5000)) });
  }
  next.set(`folder\0new ${random.integer(1000)}`, { attributes: random.bytes(10), content: random.bytes(3000) });
  return next;
}

/** So many attributes that the tree has several levels, and its nodes several blocks. */
function deepStore(random: SeededRandom): Map<string, { attributes: Uint8Array; content?: Uint8Array }> {
  const names = Array.from({ length: 450 }, (_, number) => `row ${String(number).padStart(4, '0')}`);
  return new Map(names.map((name) => [name, { attributes: random.bytes(1300) }]));
}

/** Notes what is put and deleted. */
function observed(
  store: ObjectStore,
  log: { inOrder: string[]; removed: Map<string, Uint8Array> },
  get: (key: string) => Uint8Array | undefined,
): ObjectStore {
  return {
    url: store.url,
    capabilities: store.capabilities,
    read: (key, offset, into, run) => store.read(key, offset, into, run),
    stat: (key, run) => store.stat(key, run),
    list: (prefix, after, run) => store.list(prefix, after, run),
    nowMs: (run) => store.nowMs(run),
    async create(key, body, run) {
      await store.create(key, body, run);
      log.inOrder.push(key);
    },
    async delete(keys, run) {
      for (const key of keys) log.removed.set(key, must(get(key), 'what is deleted'));
      await store.delete(keys, run);
    },
    [Symbol.asyncDispose]: async () => undefined,
  };
}

const LOGGED = 'orders';

/** A base whose log goes on in a record, apart, and joined once more, with marks that stand on it. Returns the marks. */
async function takeLog(
  fixture: RepositoryFixture,
  { objects, originals, random }: { objects: ObjectStore; originals: Map<string, FixtureStore>; random: SeededRandom },
): Promise<readonly string[]> {
  const { run, clock } = fixture;
  await using writer = await fixture.openWriter({ writer: 'one', objects });
  const state = new Map<string, FixtureEntry>(filesStore(random));
  const base = await fixture.writeBase(writer, LOGGED, state);
  originals.set(base.key, new Map(state));
  const marks: Mark[] = [];
  const drafts: SegmentDraft[] = [];
  let after = Number(base.cut.order);
  for (const count of [2, 70, 60, 3]) {
    const transactions = Array.from({ length: count }, (_, index) => {
      const entry = { attributes: random.bytes(300), content: index < 3 ? random.bytes(3000) : undefined };
      const gone = random.pick([...state.keys()]);
      const entries = new Map([
        [`row ${after} ${index}`, entry],
        [gone, undefined],
      ] as const);
      state.set(`row ${after} ${index}`, entry);
      state.delete(gone);
      return { order: after + index + 1, entries };
    });
    drafts.push(await fixture.segment(writer, { store: LOGGED, after, transactions }));
    after += count;
    const mark = { ...fixture.markOf(new Map()), positions: { [LOGGED]: positionAt(after) } };
    originals.set(`${mark.id} ${LOGGED}`, new Map(state));
    marks.push(mark);
    await writer.putJournal({ marks: [mark], segments: drafts.slice(-1), gaps: [] }, run);
    await clock.advance(1000);
  }
  // The last two are joined: what they were joined from is spare.
  const [middle, last] = [must(drafts.at(-2), 'a segment'), must(drafts.at(-1), 'a segment')];
  const packs = [...new Set([...middle.packs, ...last.packs])].toSorted();
  const merged = { ...middle, upTo: last.upTo, packs, frames: Buffer.concat([middle.frames, last.frames]) };
  await writer.putJournal({ marks: marks.slice(2), segments: [merged], gaps: [] }, run);
  await writer.putRun(run, { outcome: 'done', summary: {} });
  await writer.end(run);
  fixture.remembered = writer.heads;
  await clock.advance(1000);
  return marks.map(({ id }) => id);
}

export async function createWorld(seed: string): Promise<World> {
  const random = createSeededRandom(`world ${seed}`);
  const fixture = await RepositoryFixture.create(seed, { leaseMs: LEASE_MS });
  const { run, clock, memory } = fixture;
  const log = { inOrder: memory.keys().slice(), removed: new Map<string, Uint8Array>() };
  const objects = observed(memory, log, (key) => memory.get(key));
  const originals = new Map<string, FixtureStore>();
  const made: FixtureMark[] = [];
  const options = async (): Promise<MaintainerOptions> => ({
    access: { ...(await fixture.maintainerAccess()), objects },
    info: { application: 'test', host: 'host', command: 'maintenance', tool: 'tidemark test' },
    remembered: fixture.remembered,
  });
  const backup = async (
    writer: string,
    stores: Readonly<Record<string, FixtureStore>>,
    rest: { older?: FixtureMark; name?: string } = {},
  ): Promise<FixtureMark> => {
    const taken = await fixture.backup({ writer, stores, objects, older: rest.older?.bases, name: rest.name });
    for (const [store, content] of Object.entries(stores)) {
      originals.set(must(taken.bases.get(store), 'a base').key, content);
    }
    made.push(taken);
    await clock.advance(3 * DAY_MS);
    return taken;
  };
  const pin = async (mark: string, pinned: boolean): Promise<void> => {
    const given = await options();
    fixture.remembered = await setPinned(
      { ...given, catalogue: await loadCatalogue(given.access, [], run), mark, pinned },
      run,
    );
  };
  const forgetAndSweep = async (sweeps: number): Promise<void> => {
    const policy = { windowMs: 0, last: 2, hourly: 0, daily: 0, weekly: 0, monthly: 0 };
    fixture.remembered = (await forget({ ...(await options()), policy, timezone: 'UTC' }, run)).heads;
    for (let pass = 0; pass < sweeps; pass++) {
      await clock.advance(4 * LEASE_MS);
      fixture.remembered = (await sweep({ ...(await options()), apply: true }, run)).heads;
    }
  };

  await addPassphrase(
    fixture.owner,
    { passphrase: 'another', role: 'reader', name: 'other', cost: { memoryKiB: 8, passes: 1, parallelism: 1 } },
    run,
  );
  const [files, deep] = [filesStore(random), deepStore(random)];
  const m1 = await backup('one', { uploads: files, deep });
  const m2 = await backup('two', { mail: filesStore(random) });
  const second = changed(files, random);
  const m3 = await backup(
    'one',
    { catalog: new Map([['table', { attributes: random.bytes(9), content: random.bytes(60_000) }]]), uploads: second },
    { older: m1, name: 'before' },
  );
  await pin(m1.mark.id, true);
  await pin(m2.mark.id, true);
  await pin(m2.mark.id, false);
  const m4 = await backup('one', { uploads: changed(second, random) }, { older: m3 });
  await backup('two', { mail: filesStore(random) });
  await backup('two', { mail: filesStore(random) });
  const logged = await takeLog(fixture, { objects, originals, random });
  await forgetAndSweep(2);
  const latest = changed(second, random);
  const rows = new Map(deep);
  for (let number = 10; number < 20; number++) rows.set(`row 0${number}0`, { attributes: random.bytes(900) });
  await backup('one', { uploads: latest, deep: rows }, { older: m4 });
  await fixture.backup({ writer: 'one', stores: { uploads: changed(latest, random) }, objects, isCutOff: true });
  await clock.advance(4 * LEASE_MS);
  await takeTooLate(fixture, objects, changed(latest, random));
  await prove(await options(), run, fixture);
  await backup('one', { uploads: changed(latest, random) });
  await pin(m4.mark.id, true);
  await pin(m4.mark.id, false);
  await forgetAndSweep(1);
  const catalogue = await loadCatalogue(fixture.owner, fixture.remembered, run);
  const known = new Set([...made.map(({ mark }) => mark.id), ...logged]);
  const marks = catalogue.marks
    .filter(({ mark }) => known.has(mark.id))
    .map(({ key, mark }) => {
      const byLog = Object.keys(mark.positions).filter((store) => mark.bases[store] === undefined);
      return { id: mark.id, key, bases: mark.bases, logged: byLog };
    });
  return {
    fixture,
    whole: memory.snapshot(),
    originals,
    marks,
    removed: log.removed,
    inOrder: log.inOrder.filter((key) => memory.get(key) !== undefined),
    catalogue,
  };
}

/** A base whose manifest comes too late, so that its writer takes it back. */
async function takeTooLate(fixture: RepositoryFixture, objects: ObjectStore, content: FixtureStore): Promise<void> {
  const slow: ObjectStore = {
    ...objects,
    async create(key, body, run) {
      if (key.startsWith('manifests/')) await fixture.clock.advance(LEASE_MS);
      await objects.create(key, body, run);
    },
  };
  await using writer = await fixture.openWriter({ writer: 'one', objects: slow });
  const failure = await fixture.writeBase(writer, 'uploads', content).then(
    () => undefined,
    (error: unknown) => error,
  );
  must(failure, 'a base that came too late');
  await writer.end(fixture.run);
  fixture.remembered = writer.heads;
}

async function prove(
  options: MaintainerOptions,
  run: RepositoryFixture['run'],
  fixture: RepositoryFixture,
): Promise<void> {
  const catalogue = await loadCatalogue(options.access, [], run);
  const newest = must(catalogue.marks.at(-1), 'a mark').mark;
  const { head } = await inMaintainerSession(
    { ...options, catalogue },
    async (session) => {
      for (const manifest of Object.values(newest.bases)) {
        await session.put('proof', [{ name: 'maintenance', value: { manifest, atMs: 0, chunks: 1, bytes: 1 } }], run);
      }
    },
    run,
  );
  fixture.remembered = [...catalogue.heads.frontier, head];
}
