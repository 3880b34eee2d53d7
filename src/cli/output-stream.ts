import type { Writable } from 'node:stream';
import { TidemarkError } from '../core/errors.ts';

/** Whoever read the output has closed it and wants no more: no failure, but a reason to stop. */
export class OutputClosedError extends Error {
  override readonly name = 'OutputClosedError';
}

/** Standard output or standard error. What is written after the reader has gone is dropped in silence. */
export class OutputStream {
  readonly isTerminal: boolean;
  readonly #stream: Writable & { readonly isTTY?: boolean; readonly columns?: number };
  #closed = false;
  #failure: unknown;
  #full = false;

  constructor(stream: Writable & { readonly isTTY?: boolean; readonly columns?: number }) {
    this.#stream = stream;
    this.isTerminal = stream.isTTY === true;
    stream.on('error', (error: Error & { readonly code?: string }) => {
      this.#closed = true;
      if (error.code !== 'EPIPE') this.#failure = error;
    });
  }

  get columns(): number {
    // A terminal that does not know its width says 0.
    return this.#stream.columns || 80;
  }

  write(chunk: string | Uint8Array): void {
    if (!this.#closed && chunk.length > 0) this.#full = !this.#stream.write(chunk);
  }

  /** Waits until the reader has caught up. @throws OutputClosedError when it has gone, FAILED when nothing can be written */
  async drained(): Promise<void> {
    if (this.#full && !this.#closed) await this.#wait();
    this.#full = false;
    this.#check();
    if (this.#closed) throw new OutputClosedError('the reader of the output has gone');
  }

  /** Waits until everything is written; a reader that has gone is fine. @throws FAILED when something could not be written */
  async finish(): Promise<void> {
    if (!this.#closed) await this.#wait();
    this.#check();
  }

  #wait(): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        this.#stream.off('close', done).off('error', done);
        resolve();
      };
      this.#stream.once('close', done).once('error', done);
      this.#stream.write('', done);
    });
  }

  #check(): void {
    if (this.#failure === undefined) return;
    const cause = this.#failure;
    throw new TidemarkError(
      'FAILED',
      `the output can’t be written: ${cause instanceof Error ? cause.message : 'unknown'}`,
      { cause },
    );
  }
}
