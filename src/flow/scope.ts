import { assume } from '../core/must.ts';
import type { Run } from '../core/run.ts';

/**
 * Tasks that live and end together: `await using scope = openScope(run)`, then `spawn` each and end with `await scope.join()`.
 *
 * The first task that fails aborts `scope.run` with its error, so all that waits under that run gets the same error, and what fails
 * only after that is not told. Dispose aborts what still runs and waits for it; it never throws. It is what happens to a
 * body that throws, or leaves without `join`, which then need not learn how its tasks ended.
 */
export interface Scope extends AsyncDisposable {
  /** For the tasks and the body: aborts with the outer run, with the first failure, and on dispose. */
  readonly run: Run;
  /**
   * Starts a task. Its outcome may be awaited or left to `join`: nothing is reported as unhandled. Tasks may spawn others
   * until `join` has resolved. @throws the reason, without starting it, when the scope has been aborted
   */
  spawn<T>(task: (run: Run) => Promise<T>): Promise<T>;
  /** Resolves when all tasks have succeeded. @throws the first failure or the outer run's reason, after all have ended */
  join(): Promise<void>;
}

export function openScope(run: Run): Scope {
  return new TaskScope(run);
}

class TaskScope implements Scope {
  readonly run: Run;
  readonly #controller = new AbortController();
  readonly #tasks = new Set<Promise<void>>();
  #joined = false;

  constructor(run: Run) {
    this.run = { signal: AbortSignal.any([run.signal, this.#controller.signal]) };
  }

  spawn<T>(task: (run: Run) => Promise<T>): Promise<T> {
    assume(!this.#joined, 'no task is spawned in a scope that has been joined');
    const outcome = this.#start(task);
    const settled = outcome.then(
      () => undefined,
      (error: unknown) => this.#controller.abort(error),
    );
    this.#tasks.add(settled);
    void settled.finally(() => this.#tasks.delete(settled));
    return outcome;
  }

  async #start<T>(task: (run: Run) => Promise<T>): Promise<T> {
    this.run.signal.throwIfAborted();
    return await task(this.run);
  }

  async join(): Promise<void> {
    await this.#allSettled();
    this.run.signal.throwIfAborted();
    this.#joined = true;
  }

  async #allSettled(): Promise<void> {
    while (this.#tasks.size > 0) await Promise.all(this.#tasks);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#controller.abort(new Error('the scope was left before its tasks had ended'));
    await this.#allSettled();
  }
}
