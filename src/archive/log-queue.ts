import type { Position } from '../core/position.ts';
import type { Run } from '../core/run.ts';

/** A run of a history's log, encoded: what happened after `after` up to `upTo`. */
export type LogBlock = {
  readonly pieces: Uint8Array;
  readonly after: Position;
  readonly upTo: Position;
  readonly fromMs: number;
  readonly toMs: number;
  readonly changes: number;
  /** Ids of packs with contents of its entries, as hex. */
  readonly packs: readonly string[];
};

/** What was received of a history and is not in the repository yet, in order. Bounded in bytes: then whoever puts waits. */
export class LogQueue {
  readonly #maxBytes: number;
  readonly #onPut: () => void;
  readonly #blocks: LogBlock[] = [];
  #bytes = 0;
  #received: Position;
  readonly #waiting: (() => void)[] = [];

  /** `received`: where the history stands. `onPut` hears of every block. */
  constructor(options: { readonly maxBytes: number; readonly received: Position; readonly onPut: () => void }) {
    this.#maxBytes = options.maxBytes;
    this.#received = options.received;
    this.#onPut = options.onPut;
  }

  /** Up to where everything has come. */
  get received(): Position {
    return this.#received;
  }

  get sizeBytes(): number {
    return this.#bytes;
  }

  /** Resolves once there is room. @throws the signal's reason */
  async put(block: LogBlock, { signal }: Run): Promise<void> {
    while (this.#bytes > 0 && this.#bytes + block.pieces.byteLength > this.#maxBytes) await this.#room(signal);
    signal.throwIfAborted();
    this.#blocks.push(block);
    this.#bytes += block.pieces.byteLength;
    this.#received = block.upTo;
    this.#onPut();
  }

  /** The first blocks, at least one where there are any, up to so many bytes. They stay until they are dropped. */
  first(mostBytes: number): readonly LogBlock[] {
    let bytes = 0;
    const end = this.#blocks.findIndex(({ pieces }, index) => {
      bytes += pieces.byteLength;
      return index > 0 && bytes > mostBytes;
    });
    return end < 0 ? [...this.#blocks] : this.#blocks.slice(0, end);
  }

  /** The first `count` blocks are in the repository. */
  drop(count: number): void {
    for (const { pieces } of this.#blocks.splice(0, count)) this.#bytes -= pieces.byteLength;
    for (const wake of this.#waiting.splice(0)) wake();
  }

  async #room(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const onAbort = (): void => reject(signal.reason);
    signal.addEventListener('abort', onAbort, { once: true });
    this.#waiting.push(resolve);
    try {
      await promise;
    } finally {
      signal.removeEventListener('abort', onAbort);
    }
  }
}
