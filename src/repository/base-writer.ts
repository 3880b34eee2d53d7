import { undecodable } from '../core/entry-check.ts';
import type { EntryCheck } from '../core/entry-check.ts';
import { isTidemarkError, TidemarkError } from '../core/errors.ts';
import { must } from '../core/must.ts';
import type { Base, BaseEnd, Description, Entry, Patch } from '../core/recorder.ts';
import type { StoredEntry } from '../core/restorer.ts';
import type { Run } from '../core/run.ts';
import type { StoredEarlierBase } from './earlier-base.ts';
import type { EntryMemory, RememberedEntry } from './entry-memory.ts';
import type { LeafItem, NodeContent } from './format/node.ts';
import type { ChunkIndex } from './index/chunk-index.ts';
import type { WriterKeys } from './keys/keyring.ts';
import type { PackWriter } from './pack-writer.ts';
import type { BlockSink, ChunkRef, PipelineEngine, PlainBlock, StoreOutcome, StoreSource } from './pipeline/engine.ts';
import { LeafSort } from './leaf-sort.ts';
import { PatchedContent } from './patched-content.ts';
import { assertRecordable } from './transaction-size.ts';
import { TreeWriter } from './tree-writer.ts';
import type { TreeRoot } from './tree-writer.ts';

/** Nodes are sealed together in blocks of about this size. */
const NODE_BLOCK_BYTES = 512 * 1024;
const MAX_ATTEMPTS = 5;
const NO_TREE: TreeRoot = { id: new Uint8Array(0), level: 0, entries: 0, bytes: 0 };
/** Within a large content progress goes in steps of this size. */
const PROGRESS_STEP_BYTES = 4 * 1024 * 1024;

/** Progress of a base: what has been dealt with so far, also of entries that are not finished; what the store was found to hold, and whether that is all. */
export type BaseProgress = {
  readonly entries: number;
  readonly bytes: number;
  readonly foundEntries: number;
  readonly foundBytes: number;
  readonly foundAll: boolean;
};

export type BaseWriterDeps = {
  readonly engine: PipelineEngine;
  /** Reads again what changed while the other engine is busy. */
  readonly retryEngine: PipelineEngine;
  readonly index: ChunkIndex;
  readonly keys: WriterKeys;
  readonly content: PackWriter;
  readonly nodes: PackWriter;
  readonly memory: EntryMemory;
  /** What is remembered has to pass it. Without it nothing is taken over. */
  readonly checkEntry?: EntryCheck | undefined;
  /** What patches are of. */
  readonly earlier?: StoredEarlierBase | undefined;
  /** Of contents that are cut in pages. */
  readonly pageBytes: number;
  /** For what does not fit into memory while entries are sorted. */
  readonly temporaryFolder: string;
  readonly remember: (entry: RememberedEntry) => void;
  /** Called with every piece of work: renews the lease. */
  readonly keep: (run: Run) => Promise<void>;
  readonly onProgress: (progress: BaseProgress) => void;
};

export type StoredBase = {
  readonly root: Uint8Array;
  readonly level: number;
  readonly entries: number;
  readonly bytes: number;
  /** It holds nothing but, where the connector has one, the entry without a name, which stands for the store itself. */
  readonly isEmpty: boolean;
  /** Bytes of chunks that were not in the repository, and what they take in it. */
  readonly newBytes: number;
  readonly storedBytes: number;
  /** Numbers in the index of the packs that the base needs. */
  readonly packs: ReadonlySet<number>;
  readonly end: BaseEnd;
};

/** An entry on its way through the pipeline, in its place in the order. */
type Item = {
  readonly entry: Entry;
  readonly remembered?: RememberedEntry;
  readonly description?: Description;
  readonly patched?: PatchedContent | undefined;
};

/** `claimedBytes`: of the chunks that were asked for, which is not what was taken over from an earlier base. */
type StoredEntryContent = {
  readonly chunks: readonly ChunkRef[];
  readonly content: NodeContent;
  readonly claimedBytes: number;
};

type StoredOutcome = Extract<StoreOutcome<Item>, { readonly sizeBytes: number }>;

/** Stores a base's contents and tree; what `packs` names is durable when it resolves. The manifest is the caller's to put. */
export async function storeBase(base: Base, deps: BaseWriterDeps, run: Run): Promise<StoredBase> {
  const writing = new BaseWriting(base, deps);
  return writing.store(run);
}

/** What is stored of an observation: its entries as a log has them, ascending. */
export type StoredObservation = Pick<StoredBase, 'newBytes' | 'storedBytes' | 'packs' | 'end'> & {
  readonly leaves: readonly LeafItem[];
};

/**
 * Stores the contents of an observation's entries, which are held; what `packs` names is durable when it resolves.
 * @throws POSITION_LOST where they are too many to be
 */
export async function storeObservation(base: Base, deps: BaseWriterDeps, run: Run): Promise<StoredObservation> {
  const leaves: LeafItem[] = [];
  const { newBytes, storedBytes, packs, end } = await new BaseWriting(base, deps, leaves).store(run);
  return { leaves, newBytes, storedBytes, packs, end };
}

class BaseWriting implements BlockSink {
  readonly #base: Base;
  readonly #deps: BaseWriterDeps;
  readonly #packs = new Set<number>();
  readonly #tree: TreeWriter;
  /** Takes the entries instead of the tree. */
  readonly #leaves: LeafItem[] | undefined;
  /** Where they come in no order: they go into the tree when all have come. */
  readonly #unordered: LeafSort | undefined;
  #leafBytes = 0;
  #run: Run | undefined;
  #nodeChunks: { id: Uint8Array; bytes: Uint8Array }[] = [];
  #nodeBytes = 0;
  #newBytes = 0;
  /** Claimed, of contents that are not settled. */
  #openBytes = 0;
  #untoldBytes = 0;
  #foundEntries = 0;
  #foundBytes = 0;
  #foundAll = false;
  #entries = 0;
  #isEmpty = true;
  #bytes = 0;

  constructor(base: Base, deps: BaseWriterDeps, leaves?: LeafItem[]) {
    this.#base = base;
    this.#deps = deps;
    this.#leaves = leaves;
    this.#unordered = base.order === 'arrival' ? new LeafSort(deps.temporaryFolder) : undefined;
    this.#tree = new TreeWriter(deps.keys.nodeKey, (id, node, run) => this.#node(id, node, run));
  }

  async store(run: Run): Promise<StoredBase> {
    using _sorted = this.#unordered;
    this.#run = run;
    const { engine, content, nodes } = this.#deps;
    for await (const outcomes of engine.store(this.#sources(run), this, run)) {
      for (const outcome of outcomes) {
        const waiting = this.#settle(outcome, run);
        if (waiting !== undefined) await waiting;
      }
      this.#report();
      await this.#deps.keep(run);
    }
    const root = this.#leaves === undefined ? await this.#finishTree(run) : NO_TREE;
    await this.#flushNodes(run);
    await content.flush(run);
    await nodes.flush(run);
    for (const pack of [...content.written, ...nodes.written]) this.#packs.add(pack);
    this.#report();
    const end = await this.#base.finish(run);
    const storedBytes = content.storedBytes + nodes.storedBytes;
    return {
      root: root.id,
      level: root.level,
      entries: root.entries,
      bytes: root.bytes,
      isEmpty: this.#isEmpty,
      newBytes: this.#newBytes,
      storedBytes,
      packs: this.#packs,
      end,
    };
  }

  async #finishTree(run: Run): Promise<TreeRoot> {
    for (const leaf of this.#unordered?.ascending() ?? []) {
      const adding = this.#tree.add(leaf, run);
      if (adding !== undefined) await adding;
    }
    return await this.#tree.finish(run);
  }

  claim(id: Uint8Array, sizeBytes: number): boolean {
    const isNew = this.#claim(this.#deps.content, id);
    if (isNew) this.#newBytes += sizeBytes;
    this.#openBytes += sizeBytes;
    this.#untoldBytes += sizeBytes;
    if (this.#untoldBytes >= PROGRESS_STEP_BYTES) this.#report();
    return isNew;
  }

  /** An upload may outlive the engine's own run, so it goes by the base's. */
  async block(block: PlainBlock): Promise<void> {
    const run = must(this.#run, 'a base that is being stored');
    await this.#deps.content.add(block, run);
    await this.#deps.keep(run);
  }

  #claim(packs: PackWriter, id: Uint8Array): boolean {
    const pack = this.#deps.index.findPack(id);
    if (pack < 0) return packs.expect(id);
    this.#packs.add(pack);
    return false;
  }

  async *#sources(run: Run): AsyncGenerator<readonly StoreSource<Item>[]> {
    const isOrdered = this.#base.order !== 'arrival';
    for await (const { batch: entries, isLast } of isOrdered
      ? withLast(this.#base.entries)
      : alone(this.#base.entries)) {
      this.#foundAll = isLast;
      this.#foundEntries += entries.length;
      for (const { estimatedBytes } of entries) this.#foundBytes += estimatedBytes;
      const sources: StoreSource<Item>[] = [];
      for (const entry of entries) {
        const source = this.#recall(entry) ?? this.#describe(entry, run);
        const settled = source instanceof Promise ? await source : source;
        if (settled !== undefined) sources.push(settled);
      }
      yield sources;
      // A store whose contents pass once can't go on after this one, and does not know why.
      for (const { tag } of sources) tag.patched?.throwIfFailed();
    }
    this.#foundAll = true;
  }

  /** What is remembered of an unchanged entry, provided that it can be decoded and all its chunks are still there. */
  #recall(entry: Entry): StoreSource<Item> | undefined {
    const { memory, checkEntry, index } = this.#deps;
    if (entry.fingerprint === undefined || checkEntry === undefined) return undefined;
    const remembered = memory.match(entry.name, entry.fingerprint);
    if (remembered === undefined || undecodable(checkEntry, asStored(remembered)) !== undefined) return undefined;
    for (const chunk of remembered.chunks ?? []) {
      const pack = index.findPack(chunk.id);
      if (pack < 0) return undefined;
      this.#packs.add(pack);
    }
    return { tag: { entry, remembered } };
  }

  /** A promise only where an entry has to be tried again: entries are many. */
  #describe(entry: Entry, run: Run, attempt = 0): StoreSource<Item> | Promise<StoreSource<Item> | undefined> {
    try {
      const description: Description = entry.describe();
      const patched = description.patch && this.#patched(description.patch);
      return { tag: { entry, description, patched }, content: patched?.content ?? description.content };
    } catch (error) {
      if (attempt >= MAX_ATTEMPTS || isTidemarkError(error, 'BUG')) throw error;
      return this.#describeAgain({ entry, error, attempt: attempt + 1 }, run);
    }
  }

  async #describeAgain(
    failed: { readonly entry: Entry; readonly error: unknown; readonly attempt: number },
    run: Run,
  ): Promise<StoreSource<Item> | undefined> {
    const entry = await this.#base.retry(failed.entry, failed.error, run);
    return entry && (await this.#describe(entry, run, failed.attempt));
  }

  #patched(patch: Patch): PatchedContent {
    const { earlier, pageBytes, index } = this.#deps;
    const reuse = (id: Uint8Array): boolean => {
      const pack = index.findPack(id);
      if (pack >= 0) this.#packs.add(pack);
      return pack >= 0;
    };
    return new PatchedContent(patch, { earlier, pageBytes, reuse });
  }

  /** A promise only where something has to be waited for: entries are many. */
  #settle(outcome: StoreOutcome<Item>, run: Run): Promise<void> | undefined {
    return 'chunks' in outcome ? this.#emit(outcome, run) : this.#settleFailed(outcome, run);
  }

  async #settleFailed(first: StoreOutcome<Item>, run: Run): Promise<void> {
    let outcome: StoreOutcome<Item> | undefined = first;
    for (let attempt = 0; outcome !== undefined && !('chunks' in outcome); attempt++) {
      if (attempt >= MAX_ATTEMPTS) throw outcome.failure;
      outcome = await this.#storeAgain(outcome, run);
    }
    if (outcome !== undefined && 'chunks' in outcome) await this.#emit(outcome, run);
  }

  async #storeAgain(
    failed: { readonly tag: Item; readonly failure: unknown; readonly readBytes: number },
    run: Run,
  ): Promise<StoreOutcome<Item> | undefined> {
    run.signal.throwIfAborted();
    this.#openBytes -= failed.readBytes;
    const entry = await this.#base.retry(failed.tag.entry, failed.failure, run);
    const source = entry && (await this.#describe(entry, run));
    if (source === undefined) return undefined;
    const sources = (async function* () {
      yield [source];
    })();
    for await (const [outcome] of this.#deps.retryEngine.store(sources, this, run)) {
      if (outcome !== undefined) return outcome;
    }
    throw new TidemarkError('BUG', 'an entry that was read again has no outcome');
  }

  #emit(outcome: StoredOutcome, run: Run): Promise<void> | undefined {
    const { remembered, description, patched } = outcome.tag;
    const { sizeBytes: claimedBytes } = outcome;
    const isDescribed = description?.content !== undefined || patched !== undefined;
    const hasContent = remembered === undefined ? isDescribed : remembered.chunks !== undefined;
    if (!hasContent) return this.#add(outcome.tag, undefined, run);
    const chunks = remembered?.chunks ?? patched?.with(outcome.chunks) ?? outcome.chunks;
    const content = this.#tree.content(chunks, run);
    if (!(content instanceof Promise)) return this.#add(outcome.tag, { chunks, content, claimedBytes }, run);
    return content.then((whole) => this.#add(outcome.tag, { chunks, content: whole, claimedBytes }, run));
  }

  #add(
    { entry, remembered, description }: Item,
    stored: StoredEntryContent | undefined,
    run: Run,
  ): Promise<void> | undefined {
    const { name, fingerprint } = entry;
    const attributes = remembered?.attributes ?? description?.attributes ?? new Uint8Array(0);
    const { chunks, content } = stored ?? {};
    const sizeBytes = content?.sizeBytes ?? 0;
    if (fingerprint !== undefined) this.#deps.remember(remembered ?? { name, fingerprint, attributes, chunks });
    this.#entries++;
    if (name.byteLength > 0) this.#isEmpty = false;
    this.#bytes += sizeBytes;
    this.#openBytes -= stored?.claimedBytes ?? 0;
    const leaf: LeafItem = { name, attributes, content };
    if (this.#unordered !== undefined) {
      this.#unordered.put(leaf);
      return undefined;
    }
    if (this.#leaves === undefined) return this.#tree.add(leaf, run);
    this.#leaves.push(leaf);
    this.#leafBytes += name.byteLength + attributes.byteLength;
    assertRecordable(this.#leafBytes);
    return undefined;
  }

  async #node(id: Uint8Array, node: Uint8Array, run: Run): Promise<void> {
    if (!this.#claim(this.#deps.nodes, id)) return;
    this.#nodeChunks.push({ id, bytes: node });
    this.#nodeBytes += node.byteLength;
    if (this.#nodeBytes >= NODE_BLOCK_BYTES) await this.#flushNodes(run);
  }

  async #flushNodes(run: Run): Promise<void> {
    if (this.#nodeChunks.length === 0) return;
    const chunks = this.#nodeChunks;
    this.#nodeChunks = [];
    this.#nodeBytes = 0;
    const { plain, plainBytes } = await this.#deps.engine.compress(
      chunks.map(({ bytes }) => bytes),
      run,
    );
    await this.#deps.nodes.add(
      { plain, plainBytes, chunks: chunks.map(({ id, bytes }) => ({ id, sizeBytes: bytes.byteLength })) },
      run,
    );
  }

  #report(): void {
    this.#untoldBytes = 0;
    this.#deps.onProgress({
      entries: this.#entries,
      bytes: this.#bytes + this.#openBytes,
      foundEntries: this.#foundEntries,
      foundBytes: this.#foundBytes,
      foundAll: this.#foundAll,
    });
  }
}

function asStored({ name, attributes, chunks }: RememberedEntry): StoredEntry {
  const sizeBytes = chunks?.reduce((sum, chunk) => sum + chunk.sizeBytes, 0);
  return { name, attributes, content: sizeBytes === undefined ? undefined : { sizeBytes } };
}

/** Of a base whose next entry comes only when this one has been read. */
async function* alone<Batch>(
  batches: AsyncIterable<Batch>,
): AsyncGenerator<{ readonly batch: Batch; readonly isLast: boolean }> {
  for await (const batch of batches) yield { batch, isLast: false };
}

/** One batch behind, so that the last one is known to be it. */
async function* withLast<Batch>(
  batches: AsyncIterable<Batch>,
): AsyncGenerator<{ readonly batch: Batch; readonly isLast: boolean }> {
  let held: { readonly batch: Batch } | undefined;
  for await (const batch of batches) {
    if (held !== undefined) yield { ...held, isLast: false };
    held = { batch };
  }
  if (held !== undefined) yield { ...held, isLast: true };
}
