import { join } from 'node:path';
import { systemCode, TidemarkError } from '../core/errors.ts';
import type { EntryCheck } from '../core/entry-check.ts';
import { assume } from '../core/must.ts';
import { fromHex, toHex } from '../core/bytes.ts';
import type { Exactness, Position } from '../core/position.ts';
import type { Base } from '../core/recorder.ts';
import type { Run } from '../core/run.ts';
import type { RepositoryAccess } from './access.ts';
import { newestOf } from './base-order.ts';
import { storeBase, storeObservation } from './base-writer.ts';
import type { BaseProgress, BaseWriterDeps, StoredBase, StoredObservation } from './base-writer.ts';
import { loadCatalogue, newestBase, packKeysOf, viewHistories } from './catalogue.ts';
import type { BaseRecord, Catalogue, MarkRecord } from './catalogue.ts';
import { objectsOf } from './log-needs.ts';
import { segmentPackKeys } from './log-view.ts';
import type { SegmentRecord } from './log-view.ts';
import { BlockSource } from './block-source.ts';
import { StoredEarlierBase } from './earlier-base.ts';
import { EntryMemoryWriter, noMemory, openEntryMemory } from './entry-memory.ts';
import { packKey, parsePackKey, parseRecordKey } from './format/names.ts';
import type { Json } from './format/json.ts';
import { openChunkIndex } from './index/chunk-index.ts';
import type { ChunkIndex } from './index/chunk-index.ts';
import { publishIndex } from './index/publish.ts';
import { syncIndex } from './index/sync.ts';
import type { WriterCredential } from './keys/credential.ts';
import { knownDamage } from './known-damage.ts';
import type { Mark } from './mark.ts';
import { PackWriter } from './pack-writer.ts';
import { manifestContent } from './reader.ts';
import type { CutKeys, PipelineEngine } from './pipeline/engine.ts';
import { writeContent, writeMaintenance, writeSummary } from './records/bodies.ts';
import { putJournal, readBody, sealFrame } from './journal-writer.ts';
import type { JournalDraft } from './journal-writer.ts';
import type { ManifestMaintenance } from './records/bodies.ts';
import type { Head } from './records/heads.ts';
import type { RecordLog } from './records/record-log.ts';
import { Session } from './records/session.ts';
import type { SessionInfo } from './records/session.ts';
import { SmallPacks } from './small-packs.ts';
import { WriteLease } from './write-lease.ts';

const UPLOADS = 2;
/** A base with less than this part of what the last one had has collapsed. */
const COLLAPSED_PART = 0.1;
const COLLAPSE_LEAST_ENTRIES = 10;
const COLLAPSE_LEAST_BYTES = 1024 * 1024;

export type WriterOptions = {
  readonly access: RepositoryAccess;
  readonly info: SessionInfo;
  /** Index and memories of entries; shared by the processes of this host. Undefined: nothing is kept. */
  readonly stateFolder: string | undefined;
  /** Memories of entries are read but not written, and the index is a temporary one. */
  readonly dryRun: boolean;
  readonly remembered: readonly Head[];
  /** Where the index of chunks is kept: in the state folder unless given. */
  readonly openIndex?: typeof openChunkIndex | undefined;
  readonly openEngine: (keys: CutKeys) => Promise<PipelineEngine>;
  readonly openRetryEngine: (keys: CutKeys) => Promise<PipelineEngine>;
  /** Packs of a base on their way to the object store at once; each takes memory. 2 unless given. */
  readonly uploads?: number | undefined;
};

/** What is to be stored, and what is said about it. */
export type BaseRequest = {
  readonly store: string;
  readonly history: string;
  readonly exact: Exactness;
  readonly connector: string;
  readonly url: string;
  readonly base: Base;
  /** What it is made over: as `earlierBase` gave it in this session. */
  readonly earlier?: StoredEarlierBase | undefined;
  /** What is taken over of the base before, of entries that have not changed, has to pass it. Absent: nothing is. */
  readonly checkEntry?: EntryCheck | undefined;
  /** The application's manifest without secrets. */
  readonly manifest: string;
  readonly allowEmpty: boolean;
  readonly onProgress: (progress: BaseProgress) => void;
};

export type WrittenBase = {
  readonly key: string;
  readonly cut: Position;
  /** By the object store's clock. */
  readonly startedAtMs: number;
  readonly endedAtMs: number;
  readonly stored: StoredBase;
};

/** One writing session of one credential: bases, then marks. */
export class RepositoryWriter implements AsyncDisposable {
  /** As it was when the session began. */
  readonly catalogue: Catalogue;
  readonly #options: WriterOptions;
  readonly #credential: WriterCredential;
  readonly #stack: AsyncDisposableStack;
  readonly #session: Session;
  readonly #lease: WriteLease;
  readonly #index: ChunkIndex;
  readonly #engine: PipelineEngine;
  readonly #retryEngine: PipelineEngine;
  readonly #startedAtMs: number;
  /** Keys of objects that a verification found damaged. */
  readonly #damaged: ReadonlySet<string>;
  /** As it was read last. */
  #log: RecordLog;
  readonly #small = new SmallPacks();

  private constructor(parts: {
    options: WriterOptions;
    credential: WriterCredential;
    catalogue: Catalogue;
    stack: AsyncDisposableStack;
    session: Session;
    lease: WriteLease;
    index: ChunkIndex;
    engine: PipelineEngine;
    retryEngine: PipelineEngine;
    damaged: ReadonlySet<string>;
  }) {
    this.catalogue = parts.catalogue;
    this.#log = parts.catalogue.log;
    this.#options = parts.options;
    this.#credential = parts.credential;
    this.#stack = parts.stack;
    this.#session = parts.session;
    this.#lease = parts.lease;
    this.#index = parts.index;
    this.#engine = parts.engine;
    this.#retryEngine = parts.retryEngine;
    this.#damaged = parts.damaged;
    this.#startedAtMs = parts.session.storeNowMs;
  }

  /**
   * Begins a session. The order is the protocol's: start, then what is condemned, then the index. Packs that a verification found damaged count as absent
   * as well: what is in them is stored again.
   * @throws KEY_MISSING without a writer's credential
   */
  static async open(options: WriterOptions, run: Run): Promise<RepositoryWriter> {
    const { access } = options;
    const credential = access.writer;
    if (credential === undefined) throw new TidemarkError('KEY_MISSING', 'writing takes a writer’s credential');
    const catalogue = await loadCatalogue(access, options.remembered, run);
    await using stack = new AsyncDisposableStack();
    const session = await Session.open(
      { access, credential, heads: catalogue.heads.frontier, info: options.info },
      run,
    );
    const condemned: string[] = [];
    let onCondemned = (keys: readonly string[]): void => {
      condemned.push(...keys);
    };
    const lease = stack.use(await WriteLease.open({ access, session, onCondemned: (keys) => onCondemned(keys) }, run));
    const openIndex = options.openIndex ?? openChunkIndex;
    const index = stack.use(
      await openIndex(
        {
          folder:
            options.stateFolder === undefined || options.dryRun
              ? undefined
              : join(options.stateFolder, 'index', credential.id),
          identity: `${access.header.id} ${credential.id}`,
          runtime: access.runtime,
        },
        run,
      ),
    );
    await syncIndex(
      {
        index,
        objects: access.objects,
        repository: fromHex(access.header.id),
        credential: credential.id,
        idKey: credential.keys.idKey,
      },
      run,
    );
    onCondemned = (keys) => markAbsent(index, keys);
    const damaged = knownDamage(access, catalogue).objects;
    markAbsent(index, [...condemned, ...damaged]);
    const keys: CutKeys = { chunkKey: credential.keys.chunkKey, gear: credential.keys.gear };
    const engine = stack.use(await options.openEngine(keys));
    const retryEngine = stack.use(await options.openRetryEngine(keys));
    return new RepositoryWriter({
      options,
      credential,
      catalogue,
      stack: stack.move(),
      session,
      lease,
      index,
      engine,
      retryEngine,
      damaged,
    });
  }

  get sessionId(): string {
    return this.#session.id;
  }

  /** Heads that this host has now seen: those it saw, and this session's own. */
  get heads(): readonly Head[] {
    return [...this.catalogue.heads.frontier, this.#session.head];
  }

  /** It was silent for so long that sweeps may have taken it for dead: what it counts on without naming it may be gone. */
  get wasAway(): boolean {
    return !this.#session.isUnbroken || this.#session.sinceBeatMs > this.#options.access.header.leaseMs;
  }

  /** Tells whether a base of this writer leads to a position of a history now. Where listings lag nobody can say that none does. */
  async leads(run: Run): Promise<(history: string, position: Position) => boolean> {
    if (!this.#options.access.objects.capabilities.listsAtOnce) return () => true;
    const { bases, segments } = await this.#readAnew(run);
    const left = [...bases].filter(([key]) => !this.#lease.isCondemned(key));
    const histories = viewHistories(new Map(left), segments);
    const credential = this.#credential.id;
    return (history, position) => histories.get(history)?.baseFor({ position, credential }) !== undefined;
  }

  /** Renews the lease when it is time; for whoever works between two calls. */
  async keep(run: Run): Promise<void> {
    await this.#lease.keep(run);
  }

  /**
   * Stores a base and commits it: checked, and safe against every sweep, when it resolves.
   * @throws BASE_COLLAPSED, FENCED (then a new session may try again)
   */
  async writeBase(request: BaseRequest, run: Run): Promise<WrittenBase> {
    const startedAtMs = this.#session.storeNowMs;
    const subject = `${this.#options.access.header.id} ${this.#credential.id} ${request.history}`;
    const paths = this.#memoryPaths(request.history);
    using memory = paths === undefined ? undefined : openEntryMemory(paths.path, subject);
    using next = paths === undefined || this.#options.dryRun ? undefined : new EntryMemoryWriter({ ...paths, subject });
    const content = this.#packWriter('content');
    const nodes = this.#packWriter('node');
    let stored: StoredBase;
    try {
      stored = await storeBase(
        request.base,
        {
          ...this.#deps(content, nodes),
          memory: memory ?? noMemory,
          checkEntry: request.checkEntry,
          earlier: request.earlier,
          remember: (entry) => next?.add(entry),
          onProgress: request.onProgress,
        },
        run,
      );
    } finally {
      await Promise.all([content.settle(), nodes.settle()]);
      await this.#index.flushAll({ signal: new AbortController().signal });
    }
    const endedAtMs = this.#session.storeNowMs;
    if (!request.allowEmpty) this.#refuseCollapsed(request, stored);
    await this.publish(run);
    const key = await this.#putManifest(request, stored, startedAtMs, run);
    this.#keepMemory(next);
    return { key, cut: stored.end.cut, startedAtMs, endedAtMs, stored };
  }

  /**
   * Stores the contents of an observation. Durable when it resolves; what it needs counts from the journal record on that names its packs. The index
   * of them is published by `publish`. @throws POSITION_LOST where its entries are too many to be held
   */
  async storeObservation(
    observation: Base,
    run: Run,
  ): Promise<Omit<StoredObservation, 'packs'> & { readonly packs: readonly string[] }> {
    const content = this.#packWriter('content', this.#small);
    const nodes = this.#packWriter('node', this.#small);
    try {
      const stored = await storeObservation(
        observation,
        {
          ...this.#deps(content, nodes),
          memory: noMemory,
          remember: () => undefined,
          onProgress: () => undefined,
        },
        run,
      );
      if (this.#small.isFull) await this.joinPacks(run);
      return { ...stored, packs: this.packsNow(this.#packIds(stored.packs)) };
    } finally {
      await Promise.all([content.settle(), nodes.settle()]);
      await this.#index.flushAll({ signal: new AbortController().signal });
    }
  }

  /** Puts what lies in small packs of this session's observations into few. The small ones stay as long as something names them. */
  async joinPacks(run: Run): Promise<void> {
    for (const kind of ['content', 'node'] as const) {
      const packs = this.#small.take(kind);
      if (packs.length === 0) continue;
      const joined = this.#packWriter(kind, this.#small);
      try {
        for (const block of packs.flatMap(({ blocks }) => blocks)) await joined.add(block, run);
        await joined.flush(run);
      } finally {
        await joined.settle();
        await this.#index.flushAll({ signal: new AbortController().signal });
      }
      this.#small.noteJoined(packs, this.#packIds(new Set(joined.written)));
      for (const { id } of packs) this.#index.markAbsent(this.#index.packNumber(fromHex(id)));
    }
  }

  /** What stands for these packs since they were joined. */
  packsNow(ids: readonly string[]): readonly string[] {
    return this.#small.standFor(ids);
  }

  /** Publishes the index of what was stored: a hint for whoever reads. */
  async publish(run: Run): Promise<void> {
    await publishIndex(
      {
        index: this.#index,
        objects: this.#options.access.objects,
        credential: this.#credential.id,
        idKey: this.#credential.keys.idKey,
        session: this.#session.id,
        random: this.#options.access.runtime.random,
      },
      run,
    );
  }

  /** The newest base of a history from an earlier session that a mark may name. */
  standingBase(history: string): BaseRecord | undefined {
    const ofHistory = [...this.catalogue.bases.values()].filter(({ summary }) => summary.history === history);
    return newestOf(ofHistory.filter((base) => this.#isStanding(base)));
  }

  /**
   * The newest base of a history that another one may be made over: one of this writer's own, whose chunks it may name again. Undefined where there
   * is none, where the newest is known to be damaged, and without the reader's key. @throws REPOSITORY_DAMAGED
   */
  earlierBase(history: string): StoredEarlierBase | undefined {
    const { access, openIndex } = this.#options;
    const { id, keys } = this.#credential;
    const own = [...this.catalogue.bases.values()].filter(
      (base) => base.summary.history === history && base.credential === id && this.#isStanding(base),
    );
    const base = newestOf(own);
    if (access.keyring?.content === undefined || base === undefined || this.#isDamaged(base)) return undefined;
    const { root, level } = manifestContent(access, base);
    const { entries, bytes, cut } = base.summary;
    const source = new BlockSource({ access, credential: id, keys, index: this.#index, openIndex });
    return new StoredEarlierBase({ source, root: { root, level, entries, bytes }, cut });
  }

  /**
   * Commits a mark over bases of this session, or of an earlier one as `standingBase` gives them. Resolves once it is complete.
   * @throws FENCED
   */
  async putMark(mark: Mark, run: Run): Promise<void> {
    const manifests = new Set(Object.values(mark.bases));
    for (const key of manifests) {
      const base = this.catalogue.bases.get(key);
      const isOwn = parseRecordKey(key)?.session === this.#session.id;
      assume(isOwn || (base?.isConfirmed ?? false), 'a mark over bases that are sure to be whole');
    }
    await this.putJournal({ marks: [mark], segments: [], gaps: [] }, run);
  }

  /** Puts segments of logs, gaps, and marks that are complete with them. All of it counts when it resolves. @throws FENCED */
  async putJournal(draft: JournalDraft, run: Run): Promise<void> {
    await putJournal({ access: this.#options.access, credential: this.#credential, lease: this.#lease }, draft, run);
  }

  /**
   * What this writer has put so far and nobody is about to delete: runs of segments of one lineage, each without those that lie within another, and its
   * marks.
   */
  async ownJournal(
    run: Run,
  ): Promise<{ readonly runs: readonly (readonly SegmentRecord[])[]; readonly marks: readonly MarkRecord[] }> {
    const known = await this.#readAnew(run);
    const isOwn = (segment: SegmentRecord): boolean =>
      segment.credential === this.#credential.id &&
      ![...objectsOf(segment), ...segmentPackKeys(segment)].some((key) => this.#lease.isCondemned(key));
    const views = [...known.histories.values()];
    return {
      runs: views.flatMap((view) => view.coveredRuns().map((segments) => segments.filter(isOwn))),
      // As they were signed: what can't be restored of them just now is no part of them.
      marks: known.marks.flatMap((record) =>
        record.credential === this.#credential.id ? { ...record, mark: record.signed } : [],
      ),
    };
  }

  /** The frames of a segment, as they are stored. @throws REPOSITORY_DAMAGED, OBJECT_NOT_FOUND */
  readBody(segment: SegmentRecord, run: Run): Promise<Uint8Array> {
    return readBody(this.#options.access, segment, run);
  }

  /** Seals a payload of a history for readers. */
  sealFrame(history: string, payload: Uint8Array): Uint8Array {
    return sealFrame({ access: this.#options.access, credential: this.#credential }, history, payload);
  }

  /** What became of this session, for `runs`. */
  async putRun(
    run: Run,
    body: { readonly outcome: string; readonly code?: string | undefined; readonly summary: Json },
  ): Promise<void> {
    const value: Json = {
      command: this.#options.info.command,
      startedAtMs: this.#startedAtMs,
      durationMs: this.#session.storeNowMs - this.#startedAtMs,
      outcome: body.outcome,
      ...(body.code === undefined ? {} : { code: body.code }),
      summary: body.summary,
    };
    await this.#session.put('run', [{ name: 'maintenance', value }], run);
  }

  /** Ends the session, which releases its lease. Without it the lease runs out by itself. */
  async end(run: Run): Promise<void> {
    await this.#lease[Symbol.asyncDispose]();
    await this.#session.end(run);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync();
  }

  async #readAnew(run: Run): Promise<Catalogue> {
    const { access, remembered } = this.#options;
    const known = await loadCatalogue(access, remembered, run, this.#log);
    this.#log = known.log;
    return known;
  }

  #isStanding(base: BaseRecord): boolean {
    return base.isConfirmed && !this.#lease.isCondemned(base.key);
  }

  #isDamaged(base: BaseRecord): boolean {
    return this.#damaged.size > 0 && [base.key, ...packKeysOf(base)].some((key) => this.#damaged.has(key));
  }

  get #packFolder(): string {
    return `packs/${this.#credential.id}/`;
  }

  #deps(content: PackWriter, nodes: PackWriter): Omit<BaseWriterDeps, 'memory' | 'remember' | 'onProgress'> {
    return {
      engine: this.#engine,
      retryEngine: this.#retryEngine,
      temporaryFolder: this.#options.access.runtime.temporaryFolder,
      pageBytes: this.#options.access.header.chunks.pageBytes,
      index: this.#index,
      keys: this.#credential.keys,
      content,
      nodes,
      keep: async (run) => {
        await this.#lease.keep(run);
        await this.#index.flush(run);
      },
    };
  }

  #packIds(packs: ReadonlySet<number>): readonly string[] {
    return [...packs].map((pack) => toHex(this.#index.packId(pack))).toSorted();
  }

  #packWriter(kind: 'content' | 'node', small?: SmallPacks): PackWriter {
    const { objects, header, runtime } = this.#options.access;
    return new PackWriter({
      objects,
      header,
      credential: this.#credential,
      index: this.#index,
      random: runtime.random,
      kind,
      uploads: this.#options.uploads ?? UPLOADS,
      small,
    });
  }

  /** The base is committed: what can't be remembered of it costs the next run time, and nothing else. */
  #keepMemory(memory: EntryMemoryWriter | undefined): void {
    try {
      memory?.commit();
    } catch (error) {
      if (systemCode(error) === undefined) throw error;
      const message = 'the entries of this base can’t be remembered; the next backup reads everything';
      this.#options.access.runtime.logger.log('warn', message, { reason: String(error) });
    }
  }

  #memoryPaths(history: string): { readonly path: string; readonly temporaryPath: string } | undefined {
    const folder = this.#options.stateFolder;
    if (folder === undefined) return undefined;
    const name = `${history.replaceAll(/[^a-zA-Z0-9_-]/g, '_')}-${toHex(Buffer.from(history)).slice(0, 16)}`;
    return {
      path: join(folder, `entries-${name}`),
      temporaryPath: join(folder, `entries-${name}.${this.#session.id}`),
    };
  }

  #refuseCollapsed(request: BaseRequest, stored: StoredBase): void {
    const last = newestBase(this.catalogue, request.history)?.summary;
    const hint = `Check ${request.url}; if this is right, run \`tidemark backup ${request.store} --allow-empty ${request.store}\`.`;
    if (stored.isEmpty) {
      throw new TidemarkError('BASE_COLLAPSED', `the store ${request.store} is empty`, { hint });
    }
    if (last === undefined) return;
    const fewer = last.entries >= COLLAPSE_LEAST_ENTRIES && stored.entries < last.entries * COLLAPSED_PART;
    const smaller = last.bytes >= COLLAPSE_LEAST_BYTES && stored.bytes < last.bytes * COLLAPSED_PART;
    if (!fewer && !smaller) return;
    const was = `${last.entries} entries and ${last.bytes} bytes at its last base, ${stored.entries} and ${stored.bytes} now`;
    throw new TidemarkError('BASE_COLLAPSED', `the store ${request.store} has collapsed: ${was}`, { hint });
  }

  async #putManifest(request: BaseRequest, stored: StoredBase, startedAtMs: number, run: Run): Promise<string> {
    const packs = this.#packIds(stored.packs);
    const { end } = stored;
    const { info } = this.#options;
    const maintenance: ManifestMaintenance = {
      store: request.store,
      history: request.history,
      application: info.application,
      logFrom: end.logFrom,
      cut: end.cut,
      exact: request.exact,
      entries: stored.entries,
      bytes: stored.bytes,
      startedAtMs,
      createdAtMs: this.#session.storeNowMs,
      newBytes: stored.newBytes,
      storedBytes: stored.storedBytes,
      skippedCount: end.skippedCount,
      incompleteCount: end.incompleteCount,
      packs,
    };
    const content = writeContent({
      root: stored.root,
      level: stored.level,
      application: info.application,
      connector: request.connector,
      url: request.url,
      manifest: request.manifest,
      tool: info.tool,
      host: info.host,
      skipped: end.skipped,
    });
    const needs = {
      objects: new Set(packs.map((pack) => packKey(this.#credential.id, fromHex(pack)))),
      packFolder: this.#packFolder,
    };
    const record = await this.#lease.commit(
      'manifest',
      [
        { name: 'maintenance', value: writeMaintenance(maintenance) },
        { name: 'content', value: content },
        { name: 'writer', value: writeSummary(maintenance) },
      ],
      needs,
      run,
    );
    return record.key;
  }
}

function markAbsent(index: ChunkIndex, keys: readonly string[]): void {
  for (const key of keys) {
    const pack = parsePackKey(key);
    if (pack === undefined) continue;
    const number = index.packNumber(fromHex(pack.packId));
    if (number >= 0) index.markAbsent(number);
  }
}
