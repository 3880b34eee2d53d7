import { Journal } from '../../src/app/journal.ts';
import type { JournaledHistory } from '../../src/app/journal.ts';
import { StoreRecording } from '../../src/app/store-recording.ts';
import type { KnownHistory } from '../../src/app/known-history.ts';
import { takeClockMark } from '../../src/app/take-mark.ts';
import type { StoreConfiguration } from '../../src/config/configuration.ts';
import { isTidemarkError, TidemarkError } from '../../src/core/errors.ts';
import { must } from '../../src/core/must.ts';
import type { Recorder } from '../../src/core/recorder.ts';
import type { Run } from '../../src/core/run.ts';
import { openScope } from '../../src/flow/scope.ts';
import { loadCatalogue } from '../../src/repository/catalogue.ts';
import type { Catalogue } from '../../src/repository/catalogue.ts';
import type { Mark } from '../../src/repository/mark.ts';
import { RepositoryWriter } from '../../src/repository/writer.ts';
import type { WrittenBase } from '../../src/repository/writer.ts';
import { openSimulatedSpool } from './archive-spool.ts';
import type { SpoolDisk } from './archive-spool.ts';
import { openObserver } from './archive-stores.ts';
import type { ObserverDisk, Pause } from './archive-stores.ts';
import type { ArchiveWorld } from './archive-world.ts';
import { withMethods } from './archive-writer.ts';
import { createMemoryChunkIndex } from './memory-chunk-index.ts';
import { engineOf } from './template.ts';
import type { Actor } from './world.ts';

/** What a host's disk keeps when the agent's process dies. */
export type AgentDisk = {
  readonly spools: Map<string, SpoolDisk>;
  readonly observers: Map<string, ObserverDisk>;
};

export function blankDisk(): AgentDisk {
  return { spools: new Map(), observers: new Map() };
}

export type AgentOptions = {
  readonly archive: ArchiveWorld;
  readonly actor: Actor;
  readonly disk: AgentDisk;
  readonly flushMs: number;
  /** What waits in a spool at most. */
  readonly spoolBytes: number;
  /** A store fails now and then, and comes back. */
  readonly storeFailChance: number;
  /** Hears of each mark that was put, as it was put. */
  readonly onMark: (mark: Mark) => Promise<void>;
};

/** A process that records all stores, as the application does, until it is stopped or dies. */
export class Agent {
  readonly actor: Actor;
  readonly #options: AgentOptions;
  readonly #archive: ArchiveWorld;
  readonly #journal: ObservedJournal;
  readonly #configuration: { readonly stores: readonly StoreConfiguration[] };
  #recordings: ReadonlyMap<string, StoreRecording> = new Map();
  readonly #stop = new AbortController();
  #bases: Promise<unknown> = Promise.resolve();
  #hasEnded = false;

  constructor(options: AgentOptions) {
    this.#options = options;
    this.#archive = options.archive;
    this.actor = options.actor;
    const { host, access } = options.actor;
    this.#configuration = { stores: this.#archive.stores.map(({ name }) => configurationOf(name)) };
    this.#journal = new ObservedJournal(
      {
        clock: host.clock,
        random: host.runtime.random,
        flush: { afterMs: options.flushMs, sizeBytes: 64 * 1024 },
        openWriter: async (run) => this.#archive.protocol.writer(this.#counting(await this.#openWriter('up', run))),
        endWriter: (writer, run) => this.#endWriter(writer, run),
        onTrouble: (error) => {
          if (error?.code === 'FENCED') this.#onFenced(error);
        },
      },
      this.#archive,
      access.writer?.id ?? '',
    );
  }

  stop(): void {
    this.#stop.abort(new TidemarkError('INTERRUPTED', 'simulated: it is stopped'));
  }

  get hasEnded(): boolean {
    return this.#hasEnded || this.#stop.signal.aborted;
  }

  /** Whether every store has been recorded, or has failed. */
  get isSettled(): boolean {
    const states = [...this.#recordings.values()].map(({ state }) => state);
    return states.includes('recording') && !states.includes('starting');
  }

  /** What keeps stores from being recorded. */
  get troubles(): readonly string[] {
    return [...this.#recordings.values()].map(
      ({ store, state, trouble }) => `${store.name}: ${state} ${trouble?.message ?? ''}`,
    );
  }

  get isWhole(): boolean {
    const states = [...this.#recordings.values()].map(({ state }) => state);
    return states.length > 0 && states.every((state) => state === 'recording');
  }

  /** Resolves when the process has ended, however it did. */
  async run(): Promise<void> {
    const { host } = this.actor;
    try {
      await this.#run();
    } catch (error) {
      if (!isTidemarkError(error) || error.code === 'BUG') {
        this.#archive.world.violate(`${host.name}: ${error instanceof Error ? (error.stack ?? '') : String(error)}`);
      }
      host.kill();
    } finally {
      this.#hasEnded = true;
    }
  }

  async #run(): Promise<void> {
    const last: Run = this.actor.host.life;
    const run: Run = { signal: AbortSignal.any([last.signal, this.#stop.signal]) };
    const { access, remembered } = this.actor;
    const catalogue = await this.#archive.protocol.putUnsureAgain(
      await loadCatalogue(access, remembered, run),
      {
        credential: access.writer?.id ?? '',
        openWriter: (inner) => this.#openWriter('up', inner),
        endWriter: (writer, inner) => this.#endWriter(writer, inner),
      },
      run,
    );
    this.#recordings = new Map(
      this.#configuration.stores.map((store) => [store.name, this.#recordingOf(store, catalogue)]),
    );
    const journal = this.#journal.run(run, last);
    journal.catch(() => undefined);
    await using scope = openScope(run);
    for (const recording of this.#recordings.values()) void scope.spawn((task) => recording.run(task));
    try {
      await Promise.race([scope.join(), journal]);
    } catch (error) {
      if (!run.signal.aborted) throw error;
    }
    await journal;
  }

  #recordingOf(store: StoreConfiguration, catalogue: Catalogue): StoreRecording {
    const { host, random } = this.actor;
    const { name } = store;
    return new StoreRecording({
      runtime: host.runtime,
      store,
      restMs: 1_000 + random.integer(240_000),
      openRecorder: async (previous) => this.#openRecorder(name, previous),
      openSpool: async () => {
        const disk = this.#options.disk.spools.get(name) ?? { records: [], last: 0 };
        this.#options.disk.spools.set(name, disk);
        return openSimulatedSpool(disk, { host, random, maxBytes: this.#options.spoolBytes });
      },
      journal: this.#journal,
      known: this.#knownOf(name, catalogue),
      writeBase: ({ recorder }, run) => this.#base(name, recorder, run),
      onNews: () => undefined,
    });
  }

  #knownOf(name: string, catalogue: Catalogue): KnownHistory | undefined {
    const view = catalogue.histories.get(name);
    const credential = this.actor.access.writer?.id ?? '';
    const position = view?.endOf(credential);
    const head = this.#archive.counted.find((store) => store.name === name)?.head;
    const unreached = view?.unreachedEnd(credential);
    const end = view?.endBefore(credential);
    const earlier = end && { position: end, atMs: 0 };
    return position && { position: this.#archive.protocol.known(position, head), earlier, atMs: 0, unreached };
  }

  #openRecorder(name: string, previous: KnownHistory['position'] | undefined): Recorder {
    const { host, random } = this.actor;
    const pause: Pause = async (run) => {
      if (random.chance(0.3)) await host.clock.sleep(random.integer(random.pick([10, 5_000])), run);
      if (random.chance(this.#options.storeFailChance)) {
        throw new TidemarkError('STORE_UNREACHABLE', 'simulated: the store went away', { disposition: 'retry' });
      }
    };
    const counted = this.#archive.counted.find((store) => store.name === name);
    if (counted !== undefined) return counted.openRecorder(pause);
    const store = must(
      this.#archive.observed.find((one) => one.name === name),
      'a store that is observed',
    );
    const disk = this.#options.disk.observers.get(name) ?? { last: 0, told: [] };
    this.#options.disk.observers.set(name, disk);
    return openObserver({ store, disk, previous, pause });
  }

  /** A mark now, once it is in the repository. */
  async mark(options: { readonly name?: string | undefined }, run: Run): Promise<Mark> {
    const { runtime } = this.actor.host;
    const { world, marks, totals } = this.#archive;
    const recordings = this.#recordings;
    const mark = await takeClockMark(
      { runtime, configuration: this.#configuration, recordings, ...options, tags: [] },
      run,
    );
    world.model.attempt(mark.id);
    const put = await this.#journal.putMark(mark);
    marks.set(put.id, put);
    world.model.commit({ id: put.id, bases: {}, isNamed: put.name !== undefined });
    totals.marks += 1;
    await this.#options.onMark(put);
    return put;
  }

  /** A base of a store that is recorded, while everything else goes on. */
  async takeBase(name: string, run: Run): Promise<void> {
    await this.#recordings.get(name)?.takeBase({ allowEmpty: true }, run);
  }

  /** One after another. */
  #base(name: string, recorder: Recorder, run: Run): Promise<WrittenBase> {
    const result = this.#bases.then(() => this.#baseNow(name, recorder, run));
    this.#bases = result.catch(() => undefined); // who asked gets the error; the next one only waits
    return result;
  }

  async #baseNow(name: string, recorder: Recorder, run: Run): Promise<WrittenBase> {
    await using writer = await this.#openWriter('backup', run);
    await using base = await recorder.openBase(run);
    const request = { store: name, history: name, exact: recorder.exact, connector: 'simulated', url: 'simulated:' };
    const written = await writer.writeBase(
      { ...request, base, manifest: '', allowEmpty: true, onProgress: () => undefined },
      run,
    );
    await this.#endWriter(writer, run);
    return written;
  }

  async #openWriter(command: string, run: Run): Promise<RepositoryWriter> {
    const { access, remembered, host } = this.actor;
    const { world, protocol } = this.#archive;
    const openEngine = engineOf(access);
    const writer = await RepositoryWriter.open(
      {
        access: protocol.writerAccess(access),
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
    if (!world.lags) {
      for (const { message } of writer.catalogue.findings) world.violate(`${host.name} finds: ${message}`);
    }
    return writer;
  }

  /** Before a merge the journal asks for what it has put. */
  #counting(writer: RepositoryWriter): RepositoryWriter {
    return withMethods(writer, {
      ownJournal: (run) => {
        this.#archive.totals.merges += 1;
        return writer.ownJournal(run);
      },
    });
  }

  async #endWriter(writer: RepositoryWriter, run: Run): Promise<void> {
    await writer.end(run);
    this.actor.remembered = writer.heads;
  }

  /** The protocol spares a writer that is in time, but for what a list takes that was put by a sweep which did not know it yet: of others, from before. */
  #onFenced({ message }: TidemarkError): void {
    const { world, totals } = this.#archive;
    totals.fences += 1;
    const { host } = this.actor;
    const isOwn = [...host.made].some((key) => message.includes(key));
    if (message.endsWith('is about to be deleted') && !isOwn) return;
    if (!host.disturbed && !world.lags) world.violate(`${host.name}, never disturbed: ${message}`);
  }
}

/** Tells what is said to be durable. */
class ObservedJournal extends Journal {
  readonly #archive: ArchiveWorld;
  readonly #credential: string;

  constructor(options: ConstructorParameters<typeof Journal>[0], archive: ArchiveWorld, credential: string) {
    super(options);
    this.#archive = archive;
    this.#credential = credential;
  }

  override add(history: JournaledHistory): void {
    const { durable } = this.#archive;
    const credential = this.#credential;
    const { onDurable } = history;
    const noted = (position: JournaledHistory['durable']): void => {
      durable.set(`${history.store} ${credential}`, { credential, position });
      onDurable(position);
    };
    // The same object: who gave it compares.
    super.add(Object.assign(history, { onDurable: noted }));
  }
}

function configurationOf(name: string): StoreConfiguration {
  return {
    name,
    kind: 'simulated',
    scheme: 'simulated',
    target: name,
    url: `simulated:${name}`,
    class: 'source',
    references: [],
    bases: '',
    allowEmpty: true,
    seal: undefined,
    via: [],
    dataSets: [],
    options: {},
    written: {},
  };
}
