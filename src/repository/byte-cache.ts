import type { Run } from '../core/run.ts';

type Kept<Value> = { readonly opening: Promise<Value>; readonly openedBy: Run; sizeBytes?: number | undefined };

/**
 * Values that are costly to open, the last used ones kept up to a number of bytes. Who asks for one that is being opened waits for the same
 * one. What fails is not kept. A value larger than the limit is handed out and kept alone.
 */
export class ByteCache<Value> {
  readonly #limitBytes: number;
  readonly #sizeOf: (value: Value) => number;
  /** The last used one is the last. */
  readonly #kept = new Map<string, Kept<Value>>();
  #keptBytes = 0;

  constructor(options: { readonly limitBytes: number; readonly sizeOf: (value: Value) => number }) {
    this.#limitBytes = options.limitBytes;
    this.#sizeOf = options.sizeOf;
  }

  /** Together, of those that are open. */
  get keptBytes(): number {
    return this.#keptBytes;
  }

  async get(key: string, open: (run: Run) => Promise<Value>, run: Run): Promise<Value> {
    const known = this.#kept.get(key);
    if (known === undefined) return this.#open(key, open, run);
    this.#kept.delete(key);
    this.#kept.set(key, known);
    try {
      return await known.opening;
    } catch (error) {
      // Whoever began it was interrupted; that is not this caller's end.
      if (!known.openedBy.signal.aborted || run.signal.aborted) throw error;
      return this.get(key, open, run);
    }
  }

  async #open(key: string, open: (run: Run) => Promise<Value>, run: Run): Promise<Value> {
    const kept: Kept<Value> = { opening: open(run), openedBy: run };
    this.#kept.set(key, kept);
    try {
      const value = await kept.opening;
      this.#count(key, kept, this.#sizeOf(value));
      return value;
    } catch (error) {
      if (this.#kept.get(key) === kept) this.#kept.delete(key);
      throw error;
    }
  }

  #count(key: string, kept: Kept<Value>, sizeBytes: number): void {
    if (this.#kept.get(key) !== kept) return;
    kept.sizeBytes = sizeBytes;
    this.#keptBytes += sizeBytes;
    for (const [oldKey, old] of this.#kept) {
      if (this.#keptBytes <= this.#limitBytes) return;
      // One that is still being opened takes nothing yet.
      if (old === kept || old.sizeBytes === undefined) continue;
      this.#kept.delete(oldKey);
      this.#keptBytes -= old.sizeBytes;
    }
  }
}
