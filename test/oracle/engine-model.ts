import { readFileSync } from 'node:fs';
import { isAllowed } from './model.ts';
import type { Span } from './model.ts';

/** In the order in which a step writes them. */
export const ENGINE_STORES = ['uploads', 'cache', 'orders', 'catalog'] as const;
export type EngineStore = (typeof ENGINE_STORES)[number];

/**
 * Where the servers are. `replicaPort`: of a replica of Redis that has to have what is written before it counts, so that a failover to it loses nothing.
 * `WAIT` would not do: whoever records counts there as well.
 */
export type Ports = {
  readonly redisPort: number;
  readonly postgresPort: number;
  readonly replicaPort?: number | undefined;
};

export const SESSIONS = 20;
export const SESSION_SECONDS = 3_600;
const BEGINNING: Span = { fromMs: 0, toMs: 0 };

/** When each step was written into each store, as the writer's log tells. */
export class EngineModel {
  readonly #times: readonly (readonly number[])[];

  constructor(log: string) {
    const lines = readFileSync(log, 'utf8').split('\n').slice(0, -1);
    // The writer wrote them.
    this.#times = lines.map((line) => JSON.parse(line) as readonly number[]);
  }

  get steps(): number {
    return this.#times.length;
  }

  /** Whether a store may have stood at a counter at some time of a span. Step n is the n-th. */
  isPossible(store: EngineStore, counter: number, span: Span): boolean {
    const before = counter === 0 ? BEGINNING : this.#spanOf(store, counter);
    // The step that was under way when the writer ended left no line.
    if (before === undefined) return counter === this.steps + 1;
    return isAllowed(span, { before, after: this.#spanOf(store, counter + 1) });
  }

  told(store: EngineStore, counter: number, span: Span): string {
    const one = (step: number): string => JSON.stringify(this.#spanOf(store, step));
    return `${store} stands at ${counter} within ${JSON.stringify(span)}: written ${one(counter)}, the next ${one(counter + 1)}`;
  }

  #spanOf(store: EngineStore, step: number): Span | undefined {
    const times = this.#times[step - 1];
    const at = ENGINE_STORES.indexOf(store);
    return times && { fromMs: times[at] ?? 0, toMs: times[at + 1] ?? 0 };
  }
}
