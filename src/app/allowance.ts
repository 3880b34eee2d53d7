import type { Clock, Run } from '../core/run.ts';
import { untilAborted } from '../flow/until-aborted.ts';

/** Somebody’s word that the next base of a store may be empty or far smaller than the last, and the wait until the store is recorded with it. */
export class Allowance<Taken> {
  #asked: PromiseWithResolvers<Taken> | undefined;
  #holds = false;
  #wake: () => void = () => undefined;

  /** Resolves with the base that was taken, once the store is recorded. @throws what the base that is allowed failed with; the signal's reason */
  async ask(run: Run): Promise<Taken> {
    const asked = (this.#asked ??= Promise.withResolvers<Taken>());
    asked.promise.catch(() => undefined);
    this.#wake();
    try {
      return await untilAborted(asked.promise, run);
    } finally {
      if (run.signal.aborted && this.#asked === asked) this.#end();
    }
  }

  /** For the attempt that begins now; what had begun before somebody asked is tried again. */
  begin(): void {
    this.#holds = this.#asked !== undefined;
  }

  /** In this attempt. */
  get holds(): boolean {
    return this.#holds;
  }

  recorded(taken: Taken): void {
    this.#asked?.resolve(taken);
    this.#end();
  }

  failed(error: unknown): void {
    if (!this.#holds) return;
    this.#asked?.reject(error);
    this.#end();
  }

  /** Sleeps, unless somebody waits. */
  async rest(clock: Clock, delayMs: number, run: Run): Promise<void> {
    if (this.#asked !== undefined) return;
    const woken = new AbortController();
    this.#wake = () => woken.abort();
    await clock.sleep(delayMs, { signal: AbortSignal.any([run.signal, woken.signal]) }).catch(() => undefined);
    this.#wake = () => undefined;
  }

  #end(): void {
    this.#asked = undefined;
    this.#holds = false;
  }
}
