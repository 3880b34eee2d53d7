import { readFileSync } from 'node:fs';
import { must } from '../../src/core/must.ts';
import { COUNTER, Script, TURN } from './script.ts';
import type { Step, StepTimes, Write } from './script.ts';

/** From when to when something was done. By this host's clock, in whole milliseconds, cut off. */
export type Span = { readonly fromMs: number; readonly toMs: number };

/** What a path held from then on; undefined: nothing. */
export type Version = Span & { readonly content: string | undefined };

export type KeyStore = 'orders' | 'catalog';
type Transaction = Span & { readonly number: number; readonly writes: readonly Write[] };

const CATALOG_AT = 4;
const REMOVAL_AT = 5;

/** What the writer has done, as its own log tells. */
export class Model {
  readonly transactions: Readonly<Record<KeyStore, readonly Transaction[]>>;
  readonly files: ReadonlyMap<string, readonly Version[]>;
  readonly steps: number;
  readonly #states: Record<KeyStore, { turn: number; state: Map<string, string> }> = {
    orders: { turn: 0, state: new Map() },
    catalog: { turn: 0, state: new Map() },
  };

  constructor(seed: number, log: string) {
    const script = new Script(seed);
    const transactions: Record<KeyStore, Transaction[]> = { orders: [], catalog: [] };
    const files = new Map<string, Version[]>();
    const write = (path: string, version: Version): void => {
      const versions = files.get(path) ?? [];
      versions.push(version);
      files.set(path, versions);
    };
    const all = timesIn(log);
    for (const times of all) {
      const step: Step = script.next();
      const { number } = step;
      const span = (at: number): Span => ({ fromMs: times[at] ?? 0, toMs: times[at + 1] ?? 0 });
      for (const [at, [path, content]] of step.files.entries()) write(path, { ...span(at), content });
      transactions.orders.push({ ...span(step.files.length), number, writes: step.orders });
      transactions.catalog.push({ ...span(CATALOG_AT), number, writes: step.catalog });
      if (step.removal === undefined) continue;
      transactions.orders.push({ ...span(REMOVAL_AT), number, writes: step.removal.orders });
      write(step.removal.path, { ...span(REMOVAL_AT + 1), content: undefined });
    }
    this.transactions = transactions;
    this.files = files;
    this.steps = all.length;
  }

  /** What a store holds after so many transactions. */
  stateAfter(store: KeyStore, turn: number): ReadonlyMap<string, string> {
    const known = this.#states[store];
    if (turn < known.turn) Object.assign(known, { turn: 0, state: new Map() });
    for (; known.turn < turn; known.turn++) {
      const { writes } = must(this.transactions[store][known.turn], `transaction ${known.turn} of ${store}`);
      for (const [key, value] of writes) {
        if (value === undefined) known.state.delete(key);
        else known.state.set(key, value);
      }
    }
    return known.state;
  }
}

/** A line for each step; the last one is cut off where the writer was killed. */
function timesIn(log: string): readonly StepTimes[] {
  const lines = readFileSync(log, 'utf8').split('\n').slice(0, -1);
  // The writer wrote them.
  return lines.map((line) => JSON.parse(line) as StepTimes);
}

/** What was done before a span began and what not before it ended, as far as times in whole milliseconds tell. */
export function isAllowed(
  span: Span,
  { before, after }: { readonly before: Span; readonly after: Span | undefined },
): boolean {
  const mayHaveBegun = before.fromMs <= span.toMs;
  const mayNotHaveEnded = after === undefined || after.toMs + 1 > span.fromMs;
  return mayHaveBegun && mayNotHaveEnded;
}

export { COUNTER, TURN };
