import { assume } from '../core/must.ts';
import type { Run } from '../core/run.ts';

export type ChannelOptions<Item> = {
  /** What an item takes in memory; more than 0. */
  readonly sizeOf: (item: Item) => number;
  /** Once an item would take the channel over this, senders wait. */
  readonly highBytes: number;
  /** They go on when no more than this is left; half of `highBytes` unless given. */
  readonly lowBytes?: number | undefined;
  /** A batch ends before it would exceed this, but has at least one item; a quarter of `highBytes` unless given. */
  readonly batchBytes?: number | undefined;
};

/**
 * A queue between tasks, bounded in bytes. Items come out in the order in which `send` was called. The batch that the receiver
 * works on counts until it asks for the next one, so the channel never holds more than `highBytes`, except for a single item
 * that is larger: it passes alone.
 */
export interface Channel<Item> {
  /** Bytes that wait for the receiver or are being worked on by it. */
  readonly heldBytes: number;
  /**
   * Resolves when the channel has taken the item. When it rejects the item is not sent. @throws the signal's reason, or what the
   * channel failed or was aborted with; BugError after `close`
   */
  send(item: Item, run: Run): Promise<void>;
  /** No more will be sent: the receiver gets what was taken, then the end. Not while a `send` waits. Again is fine. */
  close(): void;
  /** The receiver gets what was taken, then `error`; senders get it at once. Nothing happens after another end. */
  fail(error: unknown): void;
  /** Drops what was taken. Senders and the receiver get `reason` at once. Nothing happens after another abort. */
  abort(reason: unknown): void;
  /** One pass, by one receiver. When it leaves early or its run aborts, so does the channel: no sender waits for ever. */
  receive(run: Run): AsyncIterable<readonly Item[]>;
}

export function createChannel<Item>(options: ChannelOptions<Item>): Channel<Item> {
  const { highBytes, lowBytes = highBytes / 2, batchBytes = highBytes / 4, sizeOf } = options;
  assume(highBytes > 0 && lowBytes >= 0 && lowBytes <= highBytes, 'marks in order');
  return new ByteChannel(sizeOf, { highBytes, lowBytes, batchBytes });
}

type Marks = { readonly highBytes: number; readonly lowBytes: number; readonly batchBytes: number };
type Packet<Item> = { readonly item: Item; readonly sizeBytes: number };
type Sender<Item> = {
  readonly packet: Packet<Item>;
  readonly admitted: () => void;
  readonly refused: (error: unknown) => void;
};
type End = { readonly kind: 'closed' } | { readonly kind: 'failed' | 'aborted'; readonly error: unknown };

class ByteChannel<Item> implements Channel<Item> {
  readonly #sizeOf: (item: Item) => number;
  readonly #marks: Marks;
  readonly #packets: Packet<Item>[] = [];
  readonly #senders = new Set<Sender<Item>>();
  #heldBytes = 0;
  /** Of the held bytes, those of the batch that the receiver works on. */
  #handedBytes = 0;
  #full = false;
  #end: End | undefined;
  #received = false;
  #wakeReceiver: (() => void) | undefined;

  constructor(sizeOf: (item: Item) => number, marks: Marks) {
    this.#sizeOf = sizeOf;
    this.#marks = marks;
  }

  get heldBytes(): number {
    return this.#heldBytes;
  }

  async send(item: Item, { signal }: Run): Promise<void> {
    signal.throwIfAborted();
    assume(this.#end?.kind !== 'closed', 'nothing is sent after the close');
    if (this.#end !== undefined) throw this.#end.error;
    const packet = { item, sizeBytes: this.#sizeOf(item) };
    assume(packet.sizeBytes > 0, 'an item that has a size');
    if (!this.#full && this.#hasRoom(packet)) {
      this.#admit(packet);
      return;
    }
    this.#full = true;
    await this.#waitForRoom(packet, signal);
  }

  #waitForRoom(packet: Packet<Item>, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const leave = (): void => {
        this.#senders.delete(sender);
        signal.removeEventListener('abort', onAbort);
      };
      const onAbort = (): void => {
        leave();
        reject(signal.reason);
      };
      const sender: Sender<Item> = {
        packet,
        admitted: () => {
          leave();
          resolve();
        },
        refused: (error) => {
          leave();
          reject(error);
        },
      };
      this.#senders.add(sender);
      signal.addEventListener('abort', onAbort, { once: true });
    });
  }

  #hasRoom({ sizeBytes }: Packet<Item>): boolean {
    return this.#heldBytes === 0 || this.#heldBytes + sizeBytes <= this.#marks.highBytes;
  }

  #admit(packet: Packet<Item>): void {
    this.#packets.push(packet);
    this.#heldBytes += packet.sizeBytes;
    this.#wakeReceiver?.();
  }

  close(): void {
    if (this.#end !== undefined) return;
    assume(this.#senders.size === 0, 'no sender waits when the channel is closed');
    this.#finish({ kind: 'closed' });
  }

  fail(error: unknown): void {
    if (this.#end === undefined) this.#finish({ kind: 'failed', error });
  }

  abort(reason: unknown): void {
    if (this.#end?.kind === 'aborted') return;
    this.#packets.length = 0;
    this.#heldBytes = this.#handedBytes;
    this.#finish({ kind: 'aborted', error: reason });
  }

  #finish(end: End): void {
    this.#end = end;
    if (end.kind !== 'closed') {
      for (const sender of this.#senders) sender.refused(end.error);
    }
    this.#wakeReceiver?.();
  }

  receive(run: Run): AsyncIterable<readonly Item[]> {
    return { [Symbol.asyncIterator]: () => this.#iterate(run) };
  }

  #iterate(run: Run): AsyncIterator<readonly Item[]> {
    assume(!this.#received, 'one receiver of a channel');
    this.#received = true;
    let over = false;
    const leave = (reason: unknown): void => {
      over = true;
      this.abort(reason);
      this.#giveBack();
    };
    return {
      next: async () => {
        if (over) return { done: true, value: undefined };
        try {
          const batch = await this.#take(run);
          if (batch !== undefined) return { done: false, value: batch };
          over = true;
          return { done: true, value: undefined };
        } catch (error) {
          leave(error);
          throw error;
        }
      },
      return: () => {
        if (!over) leave(new Error('the receiver of a channel has left'));
        return Promise.resolve({ done: true, value: undefined });
      },
    };
  }

  /** The next batch, or undefined at the end. */
  async #take(run: Run): Promise<readonly Item[] | undefined> {
    run.signal.throwIfAborted();
    this.#giveBack();
    while (this.#packets.length === 0) {
      if (this.#end?.kind === 'closed') return undefined;
      if (this.#end !== undefined) throw this.#end.error;
      await this.#waitForPacket(run.signal);
    }
    const batch: Item[] = [];
    for (const { item, sizeBytes } of this.#packets) {
      if (batch.length > 0 && this.#handedBytes + sizeBytes > this.#marks.batchBytes) break;
      batch.push(item);
      this.#handedBytes += sizeBytes;
    }
    this.#packets.splice(0, batch.length);
    return batch;
  }

  #giveBack(): void {
    this.#heldBytes -= this.#handedBytes;
    this.#handedBytes = 0;
    if (this.#heldBytes > this.#marks.lowBytes) return;
    this.#full = false;
    for (const sender of this.#senders) {
      if (!this.#hasRoom(sender.packet)) {
        this.#full = true;
        return;
      }
      this.#admit(sender.packet);
      sender.admitted();
    }
  }

  #waitForPacket(signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const leave = (): void => {
        this.#wakeReceiver = undefined;
        signal.removeEventListener('abort', onAbort);
      };
      const onAbort = (): void => {
        leave();
        reject(signal.reason);
      };
      this.#wakeReceiver = () => {
        leave();
        resolve();
      };
      signal.addEventListener('abort', onAbort, { once: true });
    });
  }
}
