import { LogQueue } from '../../src/archive/log-queue.ts';
import { pumpLog } from '../../src/archive/log-pump.ts';
import { storeObserved } from '../../src/archive/observe.ts';
import { Journal } from '../../src/app/journal.ts';
import { isTidemarkError, TidemarkError } from '../../src/core/errors.ts';
import { must } from '../../src/core/must.ts';
import type { Position } from '../../src/core/position.ts';
import type { Base, Log } from '../../src/core/recorder.ts';
import type { Run } from '../../src/core/run.ts';
import { openScope } from '../../src/flow/scope.ts';
import { loadCatalogue } from '../../src/repository/catalogue.ts';
import { newMarkId } from '../../src/repository/mark.ts';
import type { Mark } from '../../src/repository/mark.ts';
import { RepositoryWriter } from '../../src/repository/writer.ts';
import { openSimulatedSpool } from './archive-spool.ts';
import type { SpoolDisk } from './archive-spool.ts';
import type { CountedStore, ObservedStore, ObserverDisk } from './archive-stores.ts';
import type { ArchiveWorld } from './archive-world.ts';
import { createMemoryChunkIndex } from './memory-chunk-index.ts';
import { engineOf } from './template.ts';
import type { Actor } from './world.ts';

const QUEUE_BYTES = 256;
const RECEIVE_MS = 10_000;
const RETRY_MS = 30_000;

/** What a host's disk keeps when the agent's process dies. */
export type AgentDisk = {
  readonly spools: Map<string, SpoolDisk>;
  readonly observers: Map<string, ObserverDisk>;
  readonly hasSpool: boolean;
};

export function blankDisk(hasSpool: boolean): AgentDisk {
  return { spools: new Map(), observers: new Map(), hasSpool };
}

export type AgentOptions = {
  readonly archive: ArchiveWorld;
  readonly actor: Actor;
  readonly disk: AgentDisk;
  readonly flushMs: number;
  /** A store fails now and then, and comes back. */
  readonly storeFailChance: number;
  /** Hears of each mark that was put, as it was put. */
  readonly onMark: (mark: Mark) => Promise<void>;
};

type Recorded = {
  readonly name: string;
  hasBase: boolean;
  known: Position | undefined;
  state: 'starting' | 'recording' | 'retrying';
  attempt: AbortController;
  looking: Promise<unknown>;
  isOpen: boolean;
};

/** A process that records all stores, as the application does, until it is stopped or dies. */
export class Agent {
  readonly actor: Actor;
  readonly disk: AgentDisk;
  readonly #options: AgentOptions;
  readonly #archive: ArchiveWorld;
  readonly #journal: Journal;
  readonly #stores = new Map<string, Recorded>();
  readonly #stop = new AbortController();
  #hasEnded = false;
  #bases: Promise<unknown> = Promise.resolve();

  constructor(options: AgentOptions) {
    this.#options = options;
    this.#archive = options.archive;
    this.actor = options.actor;
    this.disk = options.disk;
    const { host } = options.actor;
    this.#journal = new Journal({
      clock: host.clock,
      random: host.runtime.random,
      flush: { afterMs: options.flushMs, sizeBytes: 64 * 1024 },
      openWriter: async (run) => this.#archive.protocol.writer(await this.#openWriter('up', run)),
      endWriter: (writer, run) => this.#endWriter(writer, run),
      onTrouble: (error) => {
        if (error?.code === 'FENCED') this.#onFenced(error);
      },
    });
  }

  stop(): void {
    this.#stop.abort(new TidemarkError('INTERRUPTED', 'simulated: it is stopped'));
  }

  /** Resolves when the process has ended, however it did. */
  async run(): Promise<void> {
    const { world } = this.#archive;
    try {
      await this.#run();
    } catch (error) {
      if (!isTidemarkError(error) || error.code === 'BUG') {
        world.violate(`${this.actor.host.name}: ${error instanceof Error ? (error.stack ?? '') : String(error)}`);
      }
      this.actor.host.kill();
    } finally {
      this.#hasEnded = true;
    }
  }

  get hasEnded(): boolean {
    return this.#hasEnded || this.#stop.signal.aborted;
  }

  async #run(): Promise<void> {
    const { life } = this.actor.host;
    const last: Run = life;
    const run: Run = { signal: AbortSignal.any([life.signal, this.#stop.signal]) };
    const { access, remembered } = this.actor;
    const catalogue = await loadCatalogue(access, remembered, run);
    for (const { name } of this.#archive.stores) {
      const known = catalogue.histories.get(name)?.endOf(access.writer?.id ?? '');
      this.#stores.set(name, {
        name,
        known: known && this.#archive.protocol.known(known, this.#counted(name)?.head),
        hasBase: known !== undefined,
        state: 'starting',
        attempt: new AbortController(),
        looking: Promise.resolve(),
        isOpen: false,
      });
    }
    const journal = this.#journal.run(run, last);
    journal.catch(() => undefined);
    await using scope = openScope(run);
    for (const recorded of this.#stores.values()) scope.spawn((task) => this.#keepRecording(recorded, task));
    try {
      await Promise.race([scope.join(), journal]);
    } catch (error) {
      if (!run.signal.aborted) throw error;
    }
    await journal;
  }

  /** A mark now, once it is in the repository. */
  async mark(options: { readonly name?: string | undefined }, run: Run): Promise<Mark> {
    const { host, random } = this.actor;
    const { world } = this.#archive;
    const read = new Map<string, Position>();
    for (const { name } of this.#stores.values()) {
      const position = await this.#position(name, run).catch(swallow);
      if (position !== undefined) read.set(name, position);
    }
    const atMs = host.clock.nowMs();
    for (const [name, position] of read) {
      if (!(await this.#received(name, position, run))) read.delete(name);
    }
    const mark: Mark = {
      id: newMarkId(atMs, random.bytes(2)),
      name: options.name,
      tags: [],
      class: 'clock',
      atMs,
      skewMs: 0,
      positions: Object.fromEntries(read),
      bases: {},
      missing: [...this.#stores.keys()].filter((name) => !read.has(name)),
    };
    world.model.attempt(mark.id);
    const put = await this.#journal.putMark(mark);
    this.#archive.marks.set(put.id, put);
    world.model.commit({ id: put.id, bases: {}, isNamed: put.name !== undefined });
    this.#archive.totals.marks += 1;
    await this.#options.onMark(put);
    return put;
  }

  /** Whether every store has been recorded, or has failed. */
  get isSettled(): boolean {
    const states = [...this.#stores.values()].map(({ state }) => state);
    return states.length > 0 && !states.includes('starting') && states.includes('recording');
  }

  get isWhole(): boolean {
    return this.#stores.size > 0 && [...this.#stores.values()].every(({ state }) => state === 'recording');
  }

  /** A base of a store that is recorded, while everything else goes on. */
  async takeBase(name: string, run: Run): Promise<void> {
    const recorded = this.#stores.get(name);
    if (recorded?.state === 'recording') await this.#base(recorded, run);
  }

  async #keepRecording(recorded: Recorded, run: Run): Promise<void> {
    const { clock } = this.actor.host;
    for (;;) {
      recorded.attempt = new AbortController();
      const attempt: Run = { signal: AbortSignal.any([run.signal, recorded.attempt.signal]) };
      try {
        await this.#record(recorded, attempt);
      } catch (error) {
        if (run.signal.aborted) return;
        const reason: unknown = attempt.signal.aborted ? attempt.signal.reason : error;
        if (!isTidemarkError(reason) || reason.code === 'BUG') throw reason;
        if (recorded.state !== 'starting') recorded.state = 'retrying';
        if (reason.code === 'POSITION_LOST') this.#noteGap(recorded, reason.message);
        else await clock.sleep(this.actor.random.integer(RETRY_MS), run).catch(() => undefined);
      } finally {
        if (!run.signal.aborted) this.#journal.remove(recorded.name);
      }
    }
  }

  #noteGap(recorded: Recorded, reason: string): void {
    const { known, name } = recorded;
    recorded.known = undefined;
    recorded.hasBase = false;
    const nowMs = this.actor.host.clock.nowMs();
    if (known !== undefined) {
      this.#journal.noteGap({ store: name, history: name, after: known, fromMs: nowMs, toMs: nowMs, reason });
    }
  }

  async #record(recorded: Recorded, run: Run): Promise<void> {
    const counted = this.#counted(recorded.name);
    if (counted !== undefined) await this.#follow(recorded, counted, run);
    else await this.#observe(recorded, this.#observed(recorded.name), run);
  }

  async #follow(recorded: Recorded, store: CountedStore, run: Run): Promise<void> {
    const { host, random } = this.actor;
    const from = recorded.known ?? store.head;
    const queue = await this.#join(recorded, from, () => undefined, run);
    const pause = async (inner: Run): Promise<void> => {
      await host.clock.sleep(random.integer(5), inner);
      if (random.chance(this.#options.storeFailChance)) {
        throw new TidemarkError('STORE_UNREACHABLE', 'simulated: the store went away');
      }
    };
    await using scope = openScope(run);
    const pumped = scope.spawn((inner) => {
      const pieces = store.log(queue.received, pause, inner);
      const log: Log = {
        [Symbol.asyncIterator]: () => pieces,
        acknowledge: () => undefined,
        async [Symbol.asyncDispose]() {},
      };
      return pumpLog(log, { queue, onAlive: () => undefined }, inner);
    });
    pumped.catch(() => undefined);
    if (!recorded.hasBase) await this.#base(recorded, scope.run);
    recorded.state = 'recording';
    await scope.join();
  }

  async #observe(recorded: Recorded, store: ObservedStore, run: Run): Promise<void> {
    const { host, random } = this.actor;
    const disk = this.#observerDisk(recorded.name);
    if (!recorded.hasBase || recorded.known === undefined) await this.#base(recorded, run);
    const after = must(recorded.known, 'where the base was cut');
    store.goBackTo(disk, after);
    await this.#join(recorded, after, (upTo) => store.acknowledge(disk, upTo), run);
    recorded.isOpen = true;
    try {
      recorded.state = 'recording';
      for (;;) {
        await this.#look(recorded, store, run);
        await host.clock.sleep(1 + random.integer(10 * 60_000), run);
      }
    } finally {
      recorded.isOpen = false;
      await recorded.looking;
    }
  }

  async #join(recorded: Recorded, after: Position, onDurable: (upTo: Position) => void, run: Run): Promise<LogQueue> {
    const { name } = recorded;
    const { random, host, access } = this.actor;
    const isCounted = this.#counted(name) !== undefined;
    const spoolDisk = this.disk.spools.get(name) ?? { records: [], last: 0 };
    this.disk.spools.set(name, spoolDisk);
    const spool =
      isCounted && this.disk.hasSpool ? openSimulatedSpool(spoolDisk, { host, random, maxBytes: 4096 }) : undefined;
    const queue = this.#archive.protocol.queue(
      await LogQueue.open(
        { memoryBytes: QUEUE_BYTES, received: after, onPut: () => this.#journal.touch(), spool },
        run,
      ),
    );
    this.#journal.add({
      store: name,
      queue,
      durable: after,
      onDurable: (upTo) => {
        recorded.known = upTo;
        this.#archive.durable.set(`${name} ${access.writer?.id}`, {
          credential: access.writer?.id ?? '',
          position: upTo,
        });
        onDurable(upTo);
      },
      onLost: (error) => recorded.attempt.abort(error),
    });
    return queue;
  }

  async #base(recorded: Recorded, run: Run): Promise<void> {
    // A look that began before the base ended would tell of less than the base holds.
    const result = Promise.all([this.#bases, recorded.looking]).then(() => this.#baseNow(recorded, run));
    recorded.looking = result.catch(() => undefined);
    this.#bases = result.catch(() => undefined); // who asked gets the error; the next one only waits
    await result;
  }

  async #baseNow(recorded: Recorded, run: Run): Promise<void> {
    const { name } = recorded;
    await using writer = await this.#openWriter('backup', run);
    await using base = this.#openBase(recorded);
    const written = await writer.writeBase(
      {
        store: name,
        history: name,
        exact: this.#counted(name) === undefined ? 'observation' : 'position',
        connector: 'simulated',
        url: 'simulated:',
        base,
        manifest: '',
        allowEmpty: true,
        onProgress: () => undefined,
      },
      run,
    );
    recorded.hasBase = true;
    recorded.known ??= written.cut;
    await this.#endWriter(writer, run);
  }

  #openBase(recorded: Recorded): Base {
    const { host, random } = this.actor;
    const { name } = recorded;
    const pause = async (run: Run): Promise<void> => {
      if (random.chance(0.3)) await host.clock.sleep(random.integer(60_000), run);
    };
    const counted = this.#counted(name);
    if (counted !== undefined) return counted.openBase(pause);
    return this.#observed(name).openBase(this.#observerDisk(name), { isWatched: recorded.isOpen, pause });
  }

  async #position(name: string, run: Run): Promise<Position | undefined> {
    const recorded = must(this.#stores.get(name), 'a store of the agent');
    if (recorded.state !== 'recording') return undefined;
    const counted = this.#counted(name);
    return counted === undefined ? await this.#look(recorded, this.#observed(name), run) : counted.head;
  }

  async #received(name: string, position: Position, run: Run): Promise<boolean> {
    const { clock } = this.actor.host;
    for (const untilMs = clock.monotonicMs() + RECEIVE_MS; clock.monotonicMs() < untilMs; ) {
      if (this.#stores.get(name)?.state !== 'recording') return false;
      const received = this.#journal.history(name)?.queue.received;
      if (received === undefined) return false;
      if (received.lineage === position.lineage && received.order >= position.order) return true;
      await clock.sleep(500, run);
    }
    return false;
  }

  /** One look after another. */
  #look(recorded: Recorded, store: ObservedStore, run: Run): Promise<Position | undefined> {
    const result = recorded.looking.then(() => this.#lookNow(recorded, store, run));
    recorded.looking = result.catch(() => undefined); // who asked gets the error; the next one only waits
    return result;
  }

  async #lookNow(recorded: Recorded, store: ObservedStore, asked: Run): Promise<Position | undefined> {
    const { host, random } = this.actor;
    const run: Run = { signal: AbortSignal.any([asked.signal, recorded.attempt.signal]) };
    const history = this.#journal.history(recorded.name);
    if (!recorded.isOpen || history === undefined) return undefined;
    const atMs = host.clock.nowMs();
    const pause = async (inner: Run): Promise<void> => {
      if (random.chance(0.2)) await host.clock.sleep(random.integer(5_000), inner);
    };
    await using observation = store.observe(this.#observerDisk(recorded.name), pause);
    const after = history.queue.received;
    if (observation === undefined) return after;
    const block = await this.#journal.withWriter(
      (writer) => storeObserved(observation, { writer, after, atMs }, run),
      run,
    );
    await history.queue.put(block, run);
    return block.upTo;
  }

  async #openWriter(command: string, run: Run): Promise<RepositoryWriter> {
    const { access, remembered, host } = this.actor;
    const openEngine = engineOf(access);
    const writer = await RepositoryWriter.open(
      {
        access: { ...access, objects: this.#archive.protocol.writerStore(access.objects) },
        info: { application: 'simulated', host: host.name, command, tool: 'simulation' },
        stateFolder: undefined,
        dryRun: false,
        remembered,
        openIndex: async () => createMemoryChunkIndex(),
        openEngine,
        openRetryEngine: openEngine,
      },
      run,
    );
    if (!this.#archive.world.lags) {
      for (const { message } of writer.catalogue.findings) {
        this.#archive.world.violate(`${host.name} finds: ${message}`);
      }
    }
    return writer;
  }

  async #endWriter(writer: RepositoryWriter, run: Run): Promise<void> {
    await writer.end(run);
    this.actor.remembered = writer.heads;
  }

  /** The protocol spares a writer that is in time. */
  #onFenced({ message }: TidemarkError): void {
    const { world, totals } = this.#archive;
    totals.fences += 1;
    const { host } = this.actor;
    if (!host.disturbed && !world.lags && !world.hasVandal) {
      world.violate(`${host.name}, never disturbed: ${message}`);
    }
  }

  #counted(name: string): CountedStore | undefined {
    return this.#archive.counted.find((store) => store.name === name);
  }

  #observed(name: string): ObservedStore {
    return must(
      this.#archive.observed.find((store) => store.name === name),
      'a store that is observed',
    );
  }

  #observerDisk(name: string): ObserverDisk {
    const known = this.disk.observers.get(name) ?? { lineage: undefined, last: 0, told: [] };
    this.disk.observers.set(name, known);
    return known;
  }
}

function swallow(error: unknown): undefined {
  if (!isTidemarkError(error)) throw error;
  return undefined;
}
