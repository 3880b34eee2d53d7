import { TidemarkError } from '../core/errors.ts';
import type { Clock, Run } from '../core/run.ts';
import { assertKeyPrefix, assertObjectKey, assertOffset } from '../objects/object-key.ts';
import type { ObjectInfo, ObjectStore, ObjectStoreCapabilities } from '../objects/object-store.ts';

const LONGEST_BATCH = 1000;

export type MemoryObjectStoreOptions = {
  /** The store's own clock: its wall time is what `nowMs` answers and objects carry. */
  readonly clock: Clock;
  readonly url?: string | undefined;
  /** Without `exclusiveCreate` the last of several creates wins, silently. */
  readonly exclusiveCreate?: boolean | undefined;
  readonly provesDigest?: boolean | undefined;
  /** When given, `listsAtOnce` is false: asked once for each create and delete, how long listings don't show it. */
  readonly listingLagMs?: (() => number) | undefined;
};

type Held = { readonly info: ObjectInfo; readonly bytes: Uint8Array };
type ListingChange = {
  readonly dueMs: number;
  readonly version: number;
  readonly key: string;
  readonly info: ObjectInfo | undefined;
};

/** The state of a memory store at one moment. It can be restored any number of times, into any memory store. */
export type MemorySnapshot = { readonly held: readonly Held[]; readonly listed: readonly ObjectInfo[] };

/**
 * An object store in memory with exact semantics, for tests and simulations. Nothing waits: each call takes effect when it is made.
 * Several hosts may share one: dispose keeps the data and the store stays usable.
 * `get`, `put`, `remove` and `restore` go round the contract, to damage or roll back what is stored; listings show their effect at once.
 */
export class MemoryObjectStore implements ObjectStore {
  readonly url: string;
  readonly capabilities: ObjectStoreCapabilities;
  readonly #clock: Clock;
  readonly #lagMs: (() => number) | undefined;
  readonly #held = new Map<string, Held>();
  readonly #listing = new SortedListing();
  #pending: ListingChange[] = [];
  readonly #listedVersions = new Map<string, number>();
  #version = 0;

  constructor(options: MemoryObjectStoreOptions) {
    this.url = options.url ?? 'memory:';
    this.#clock = options.clock;
    this.#lagMs = options.listingLagMs;
    this.capabilities = {
      exclusiveCreate: options.exclusiveCreate ?? true,
      provesDigest: options.provesDigest ?? false,
      listsAtOnce: options.listingLagMs === undefined,
    };
  }

  async create(key: string, body: readonly Uint8Array[], run: Run): Promise<void> {
    await this.createBegun({ key, body, begunMs: this.#clock.nowMs() }, run);
  }

  /** As `create`, with the time when it began: stores may show an object far later than its time says. */
  async createBegun(
    { key, body, begunMs }: { readonly key: string; readonly body: readonly Uint8Array[]; readonly begunMs: number },
    run: Run,
  ): Promise<void> {
    run.signal.throwIfAborted();
    assertObjectKey(key);
    if (this.capabilities.exclusiveCreate && this.#held.has(key)) {
      throw new TidemarkError('OBJECT_EXISTS', `${this.url}: ${key} is there already`);
    }
    const bytes = Buffer.concat(body);
    const info = { key, sizeBytes: bytes.byteLength, modifiedMs: begunMs };
    this.#held.set(key, { info, bytes });
    this.#announce(key, info);
  }

  async read(key: string, offset: number, into: Uint8Array, run: Run): Promise<number> {
    run.signal.throwIfAborted();
    assertObjectKey(key);
    assertOffset(offset);
    const held = this.#held.get(key);
    if (held === undefined) throw new TidemarkError('OBJECT_NOT_FOUND', `${this.url}: ${key} is missing`);
    const part = held.bytes.subarray(offset, offset + into.byteLength);
    into.set(part);
    return part.byteLength;
  }

  async stat(key: string, run: Run): Promise<ObjectInfo | undefined> {
    run.signal.throwIfAborted();
    assertObjectKey(key);
    return this.#held.get(key)?.info;
  }

  async *list(prefix: string, after: string, run: Run): AsyncGenerator<readonly ObjectInfo[]> {
    run.signal.throwIfAborted();
    assertKeyPrefix(prefix);
    for (let last = after; ; ) {
      this.#settle();
      const batch = this.#listing.page(prefix, last, LONGEST_BATCH);
      if (batch.length > 0) yield batch;
      run.signal.throwIfAborted();
      const end = batch.at(-1);
      if (end === undefined || batch.length < LONGEST_BATCH) return;
      last = end.key;
    }
  }

  async delete(keys: readonly string[], run: Run): Promise<void> {
    run.signal.throwIfAborted();
    keys.forEach(assertObjectKey);
    for (const key of keys) {
      if (this.#held.delete(key)) this.#announce(key, undefined);
    }
  }

  async nowMs(run: Run): Promise<number> {
    run.signal.throwIfAborted();
    return this.#clock.nowMs();
  }

  async [Symbol.asyncDispose](): Promise<void> {}

  /** The bytes of an object as they are kept: not to be changed, `put` a changed copy. */
  get(key: string): Uint8Array | undefined {
    return this.#held.get(key)?.bytes;
  }

  /** Creates or replaces; the time stays that of the object replaced unless it is given. Keeps `bytes`, without a copy. */
  put(key: string, bytes: Uint8Array, modifiedMs?: number): void {
    assertObjectKey(key);
    const time = modifiedMs ?? this.#held.get(key)?.info.modifiedMs ?? this.#clock.nowMs();
    const info = { key, sizeBytes: bytes.byteLength, modifiedMs: time };
    this.#held.set(key, { info, bytes });
    this.#show(key, info);
  }

  /** Whether there was something to remove. */
  remove(key: string): boolean {
    const existed = this.#held.delete(key);
    this.#show(key, undefined);
    return existed;
  }

  /** What is held now, whatever listings show; ascending. */
  keys(): readonly string[] {
    return [...this.#held.keys()].sort();
  }

  /** The size of all objects together. */
  storedBytes(): number {
    let sum = 0;
    for (const { bytes } of this.#held.values()) sum += bytes.byteLength;
    return sum;
  }

  /** What is held, and what listings show of it now. */
  snapshot(): MemorySnapshot {
    this.#settle();
    return { held: [...this.#held.values()], listed: this.#listing.all() };
  }

  /** Where listings lag, they catch up with what is held after a lag that starts now. */
  restore(snapshot: MemorySnapshot): void {
    this.#held.clear();
    for (const held of snapshot.held) this.#held.set(held.info.key, held);
    this.#pending = [];
    this.#listedVersions.clear();
    this.#listing.replace(snapshot.listed);
    if (this.#lagMs === undefined) return;
    for (const { info } of snapshot.held) this.#announce(info.key, info);
    for (const { key } of snapshot.listed) {
      if (!this.#held.has(key)) this.#announce(key, undefined);
    }
  }

  #announce(key: string, info: ObjectInfo | undefined): void {
    if (this.#lagMs === undefined) {
      this.#listing.set(key, info);
      return;
    }
    this.#version += 1;
    this.#pending.push({ dueMs: this.#clock.nowMs() + this.#lagMs(), version: this.#version, key, info });
  }

  #show(key: string, info: ObjectInfo | undefined): void {
    this.#version += 1;
    this.#listedVersions.set(key, this.#version);
    this.#listing.set(key, info);
  }

  #settle(): void {
    if (this.#pending.length === 0) return;
    const nowMs = this.#clock.nowMs();
    this.#pending = this.#pending.filter((change) => {
      if (change.dueMs > nowMs) return true;
      if (change.version > (this.#listedVersions.get(change.key) ?? 0)) {
        this.#listedVersions.set(change.key, change.version);
        this.#listing.set(change.key, change.info);
      }
      return false;
    });
  }
}

/** Keys are ASCII, so the order of strings is the order of bytes. */
class SortedListing {
  #keys: string[] = [];
  readonly #infos = new Map<string, ObjectInfo>();

  set(key: string, info: ObjectInfo | undefined): void {
    const known = this.#infos.has(key);
    if (info === undefined) {
      if (known) this.#keys.splice(this.#firstAtLeast(key), 1);
      this.#infos.delete(key);
      return;
    }
    if (!known) this.#keys.splice(this.#firstAtLeast(key), 0, key);
    this.#infos.set(key, info);
  }

  page(prefix: string, after: string, limit: number): ObjectInfo[] {
    const found: ObjectInfo[] = [];
    const start = this.#firstAtLeast(after < prefix ? prefix : after);
    for (let at = start; at < this.#keys.length && found.length < limit; at += 1) {
      const key = this.#keys[at];
      if (key === undefined || !key.startsWith(prefix)) break;
      const info = this.#infos.get(key);
      if (info !== undefined && key > after) found.push(info);
    }
    return found;
  }

  all(): ObjectInfo[] {
    return this.page('', '', Number.MAX_SAFE_INTEGER);
  }

  replace(infos: readonly ObjectInfo[]): void {
    this.#keys = infos.map((info) => info.key);
    this.#infos.clear();
    for (const info of infos) this.#infos.set(info.key, info);
  }

  #firstAtLeast(key: string): number {
    let low = 0;
    let high = this.#keys.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const at = this.#keys[middle];
      if (at !== undefined && at < key) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
