import type { Run } from '../../core/run.ts';

/** Memory in which a task has its bytes. `index` names it to all threads. */
export type Slot = { readonly index: number; readonly bytes: Uint8Array };

/**
 * A fixed number of slots: what bounds the memory of all runs together. Who waits gets one in the order of asking.
 * The slot used last is given out first, so that small runs touch little memory.
 */
export class SlotPool {
  readonly #create: (index: number) => Uint8Array;
  readonly #count: number;
  readonly #free: Slot[] = [];
  #created = 0;
  readonly #waiting = new Set<(slot: Slot) => void>();

  /** `create` gives the memory of a slot when it is used for the first time. */
  constructor(count: number, create: (index: number) => Uint8Array) {
    this.#count = count;
    this.#create = create;
  }

  async acquire(run: Run): Promise<Slot> {
    run.signal.throwIfAborted();
    const free = this.#free.pop();
    if (free !== undefined) return free;
    if (this.#created === this.#count) return await this.#wait(run);
    const index = this.#created;
    this.#created += 1;
    return { index, bytes: this.#create(index) };
  }

  release(slot: Slot): void {
    const [next] = this.#waiting;
    if (next === undefined) this.#free.push(slot);
    else next(slot);
  }

  #wait({ signal }: Run): Promise<Slot> {
    return new Promise((resolve, reject) => {
      const onSlot = (slot: Slot): void => {
        this.#waiting.delete(onSlot);
        signal.removeEventListener('abort', onAbort);
        resolve(slot);
      };
      const onAbort = (): void => {
        this.#waiting.delete(onSlot);
        reject(signal.reason);
      };
      this.#waiting.add(onSlot);
      signal.addEventListener('abort', onAbort, { once: true });
    });
  }
}
