import { readerOf } from '../core/byte-reader.ts';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { compareBytes } from '../core/bytes.ts';
import { must } from '../core/must.ts';
import { orderOf } from '../core/position.ts';
import type { Position } from '../core/position.ts';
import type { Base, Entry } from '../core/recorder.ts';
import type { Run, Runtime } from '../core/run.ts';
import { createSeededRandom } from '../flow/random.ts';
import { createVirtualClock } from '../flow/virtual-clock.ts';
import type { VirtualClock } from '../flow/virtual-clock.ts';
import type { ObjectStore } from '../objects/object-store.ts';
import { createRepository, openWithPassphrase, withDerivedCredential } from '../repository/access.ts';
import type { RepositoryAccess } from '../repository/access.ts';
import type { ChunkLimits } from '../repository/format/header.ts';
import { PayloadBuilder, payloadOf } from '../repository/format/log-payload.ts';
import { extractInPlace } from '../repository/extract/in-place.ts';
import type { SegmentDraft } from '../repository/journal-writer.ts';
import { newMarkId } from '../repository/mark.ts';
import type { Mark } from '../repository/mark.ts';
import { createInPlaceEngine } from '../repository/pipeline/in-place-engine.ts';
import { RepositoryReader } from '../repository/reader.ts';
import type { ReaderOptions } from '../repository/reader.ts';
import type { Head } from '../repository/records/heads.ts';
import { RepositoryWriter } from '../repository/writer.ts';
import type { WrittenBase } from '../repository/writer.ts';
import { MemoryObjectStore } from './memory-object-store.ts';

const START_MS = Date.parse('2026-03-01T00:00:00Z');
const PASSPHRASE = 'the passphrase of a test';
const CHEAP_KDF = { memoryKiB: 8, passes: 1, parallelism: 1 };
/** A thousandth of what a repository has, so that small contents have many chunks and packs have many blocks. */
const SMALL_CHUNKS = { minBytes: 512, averageBytes: 2048, maxBytes: 8192, pageBytes: 1024 };
const SMALL_CAPACITY_CHUNKS = 32;

export type FixtureEntry = { readonly attributes: Uint8Array; readonly content?: Uint8Array | undefined };

/** What a store holds, by name; each character of a name is a byte. */
export type FixtureStore = ReadonlyMap<string, FixtureEntry>;

/** What became of each name at a commit; undefined: it went. */
export type FixtureTransaction = {
  readonly order: number;
  readonly resume?: string | undefined;
  readonly entries: ReadonlyMap<string, FixtureEntry | undefined>;
};

export type FixtureLog = {
  readonly store: string;
  readonly after: number;
  readonly transactions: readonly FixtureTransaction[];
};

/** `chunks`: of real data, for which small ones would take long. */
export type FixtureOptions = { readonly leaseMs?: number; readonly chunks?: ChunkLimits };

export type FixtureMark = { readonly mark: Mark; readonly bases: ReadonlyMap<string, WrittenBase> };

export type BackupOptions = {
  readonly writer: string;
  readonly stores: Readonly<Record<string, FixtureStore>>;
  /** Bases of earlier backups that the mark names as well. */
  readonly older?: ReadonlyMap<string, WrittenBase> | undefined;
  readonly name?: string | undefined;
  /** Leaves the session as if its process had been killed after the bases. */
  readonly isCutOff?: boolean | undefined;
  /** Object store of the writer, where it is another one. */
  readonly objects?: ObjectStore | undefined;
  /** With the writer's credential, where it is not to be derived. */
  readonly access?: RepositoryAccess | undefined;
};

export type OpenReaderOptions = Partial<Pick<ReaderOptions, 'remembered' | 'stateFolder' | 'extract'>> & {
  readonly objects?: ObjectStore | undefined;
};

/** A repository in memory on virtual time, with a cheap key derivation and the in-place engine. */
export class RepositoryFixture implements AsyncDisposable {
  readonly clock: VirtualClock;
  readonly memory: MemoryObjectStore;
  readonly runtime: Runtime;
  readonly run: Run = { signal: new AbortController().signal };
  readonly logged: string[] = [];
  /** Of these, what an operator sees without asking for it. */
  readonly loggedLoud: string[] = [];
  /** Heads as a host remembers them that has seen everything so far. */
  remembered: readonly Head[] = [];
  #owner: RepositoryAccess | undefined;
  #order = 0;
  readonly #chunks: ChunkLimits;

  private constructor(seed: string, chunks: ChunkLimits) {
    this.#chunks = chunks;
    this.clock = createVirtualClock(START_MS);
    this.memory = new MemoryObjectStore({ clock: this.clock, provesDigest: true });
    this.runtime = {
      clock: this.clock,
      random: createSeededRandom(`repository ${seed}`).bytes,
      logger: {
        log: (level, message) => {
          this.logged.push(message);
          if (level === 'warn' || level === 'error') this.loggedLoud.push(message);
        },
      },
      temporaryFolder: mkdtempSync(join(tmpdir(), 'tidemark-repository-')),
    };
  }

  static async create(seed = 'a', options: FixtureOptions = {}): Promise<RepositoryFixture> {
    const { leaseMs, chunks = SMALL_CHUNKS } = options;
    const fixture = new RepositoryFixture(seed, chunks);
    fixture.#owner = await createRepository(
      fixture.memory,
      { passphrase: PASSPHRASE, slotName: 'test', chunks, kdfCost: CHEAP_KDF, leaseMs },
      fixture.runtime,
      fixture.run,
    );
    return fixture;
  }

  get owner(): RepositoryAccess {
    return must(this.#owner, 'a repository that was created');
  }

  /** As a process would that knows nothing but the passphrase. */
  open(objects: ObjectStore = this.memory): Promise<RepositoryAccess> {
    return openWithPassphrase(objects, PASSPHRASE, this.runtime, this.run);
  }

  writerAccess(name: string, stores: readonly string[] = ['*']): Promise<RepositoryAccess> {
    return withDerivedCredential(this.owner, { role: 'writer', name, stores }, this.run);
  }

  maintainerAccess(): Promise<RepositoryAccess> {
    return withDerivedCredential(this.owner, { role: 'maintainer', name: 'maintainer', stores: [] }, this.run);
  }

  async openReader(options: OpenReaderOptions = {}): Promise<RepositoryReader> {
    const { objects, remembered = [], stateFolder, extract = extractInPlace } = options;
    const access = await this.open(objects);
    return RepositoryReader.open({ access, remembered, stateFolder, extract }, this.run);
  }

  async openWriter(options: Pick<BackupOptions, 'writer' | 'objects' | 'access'>): Promise<RepositoryWriter> {
    const { writer, objects } = options;
    const access = options.access ?? (await this.writerAccess(writer));
    const chunks = this.#chunks;
    const openEngine: Parameters<typeof RepositoryWriter.open>[0]['openEngine'] = async (keys) =>
      createInPlaceEngine({ sizes: chunks, keys, capacityBytes: SMALL_CAPACITY_CHUNKS * chunks.averageBytes });
    return RepositoryWriter.open(
      {
        access: objects === undefined ? access : { ...access, objects },
        info: { application: 'test', host: writer, command: 'backup', tool: 'tidemark test' },
        stateFolder: undefined,
        dryRun: false,
        remembered: this.remembered,
        openEngine,
        openRetryEngine: openEngine,
      },
      this.run,
    );
  }

  /** One session: a base of each store, then a mark over these and the older ones. */
  async backup(options: BackupOptions): Promise<FixtureMark> {
    await using writer = await this.openWriter(options);
    const bases = new Map(options.older);
    for (const [store, content] of Object.entries(options.stores)) {
      bases.set(store, await this.writeBase(writer, store, content));
    }
    const mark = this.markOf(bases, options.name);
    if (options.isCutOff === true) return { mark, bases };
    await writer.putMark(mark, this.run);
    await writer.putRun(this.run, { outcome: 'done', summary: { mark: mark.id } });
    await writer.end(this.run);
    this.remembered = writer.heads;
    await this.clock.advance(1000);
    return { mark, bases };
  }

  /** `at`: where the base is cut, and from where on its log is needed; the next place in order unless given. `connector`: the kind of its store. */
  writeBase(
    writer: RepositoryWriter,
    store: string,
    content: FixtureStore,
    at: { readonly cut?: number; readonly logFrom?: number; readonly connector?: string } = {},
  ): Promise<WrittenBase> {
    this.#order = at.cut ?? this.#order + 1;
    return writer.writeBase(
      {
        store,
        history: store,
        exact: 'position',
        connector: at.connector ?? 'test',
        url: `test:${store}`,
        base: baseOf(content, this.#order, at.logFrom),
        manifest: 'application: test\n',
        allowEmpty: true,
        onProgress: () => undefined,
      },
      this.run,
    );
  }

  /** A segment with a frame for each transaction, whose contents are stored first. */
  async segment(writer: RepositoryWriter, log: FixtureLog): Promise<SegmentDraft> {
    const frames: Uint8Array[] = [];
    const packs = new Set<string>();
    let last = positionAt(log.after);
    for (const { order, resume, entries } of log.transactions) {
      const present = [...entries].flatMap(([name, entry]) => (entry === undefined ? [] : [[name, entry] as const]));
      const gone = [...entries].filter(([, entry]) => entry === undefined);
      const stored = await writer.storeObservation(baseOf(new Map(present), order), this.run);
      for (const pack of stored.packs) packs.add(pack);
      const removed = gone.map(([name]) => ({ name: Buffer.from(name, 'latin1'), removed: true }) as const);
      const builder = new PayloadBuilder();
      const position = positionAt(order, resume);
      builder.piece({ changes: [...removed, ...stored.leaves], commit: { position, atMs: order * 1000 } });
      frames.push(writer.sealFrame(log.store, payloadOf(last, [builder.takePieces()])));
      last = position;
    }
    return {
      store: log.store,
      history: log.store,
      after: positionAt(log.after),
      upTo: last,
      fromMs: (log.transactions[0]?.order ?? 0) * 1000,
      toMs: (log.transactions.at(-1)?.order ?? 0) * 1000,
      changes: log.transactions.reduce((sum, { entries }) => sum + entries.size, 0),
      packs: [...packs].toSorted(),
      frames: Buffer.concat(frames),
    };
  }

  markOf(bases: ReadonlyMap<string, WrittenBase>, name?: string): Mark {
    return {
      id: newMarkId(this.clock.nowMs(), this.runtime.random(4)),
      name,
      tags: [],
      class: 'clock',
      atMs: this.clock.nowMs(),
      skewMs: 0,
      positions: Object.fromEntries([...bases].map(([store, { cut }]) => [store, cut])),
      bases: Object.fromEntries([...bases].map(([store, { key }]) => [store, key])),
      missing: [],
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    rmSync(this.runtime.temporaryFolder, { recursive: true, force: true });
  }
}

/** The place of that number in every history of the fixture. */
export function positionAt(order: number, resume = String(order)): Position {
  return { lineage: 'fixture', order: orderOf(order), resume };
}

/** The base that a connector would give of a store with these entries. */
export function baseOf(content: FixtureStore, order: number, logFrom = order): Base {
  const named = [...content].map(([name, entry]) => ({ name: Buffer.from(name, 'latin1'), entry }));
  const sorted = named.toSorted((left, right) => compareBytes(left.name, right.name));
  return {
    entries: (async function* () {
      for (let at = 0; at < sorted.length; at += 100) yield sorted.slice(at, at + 100).map(entryOf);
    })(),
    retry: async () => undefined,
    finish: async () => ({
      logFrom: positionAt(logFrom),
      cut: positionAt(order),
      skipped: [],
      skippedCount: 0,
      incompleteCount: 0,
    }),
    [Symbol.asyncDispose]: async () => undefined,
  };
}

function entryOf({ name, entry }: { readonly name: Uint8Array; readonly entry: FixtureEntry }): Entry {
  const { attributes, content } = entry;
  return {
    name,
    estimatedBytes: content?.byteLength ?? 0,
    describe: () =>
      content === undefined
        ? { attributes }
        : { attributes, content: { cut: 'stream', kind: 'reader', open: async () => readerOf(content) } },
  };
}
