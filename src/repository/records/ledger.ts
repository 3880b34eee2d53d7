import type { Json, JsonFields } from '../format/json.ts';
import type { TrustedRecord } from './record-log.ts';

/** Counters, inclusive on both ends, ascending and apart. */
export type Ranges = readonly (readonly [number, number])[];

export type LedgerBody = {
  readonly includes: readonly string[];
  readonly forgotten: readonly string[];
  readonly removed: Readonly<Record<string, Ranges>>;
  readonly atMs: number;
};

/** What maintainers did on purpose, taken together from all ledgers. */
export class Ledger {
  readonly forgotten: ReadonlySet<string>;
  readonly #removed: ReadonlyMap<string, Ranges>;
  /** Keys of the ledgers that went into this one. */
  readonly keys: readonly string[];

  constructor(bodies: readonly { readonly key: string; readonly body: LedgerBody }[]) {
    this.keys = bodies.map(({ key }) => key);
    this.forgotten = new Set(bodies.flatMap(({ body }) => body.forgotten));
    const removed = new Map<string, (readonly [number, number])[]>();
    for (const { body } of bodies) {
      for (const [session, ranges] of Object.entries(body.removed)) removed.set(session, [...(removed.get(session) ?? []), ...ranges]);
    }
    this.#removed = new Map([...removed].map(([session, ranges]) => [session, joinRanges(ranges)]));
  }

  isRemoved(session: string, counter: number): boolean {
    return this.#removed.get(session)?.some(([from, to]) => from <= counter && counter <= to) ?? false;
  }

  /** A ledger that says all that this one says, and more. */
  extend(more: { readonly forgotten: readonly string[]; readonly removed: readonly { session: string; counter: number }[]; readonly atMs: number }): LedgerBody {
    const removed = new Map<string, Ranges>(this.#removed);
    for (const { session, counter } of more.removed) removed.set(session, joinRanges([...(removed.get(session) ?? []), [counter, counter]]));
    return {
      includes: this.keys,
      forgotten: [...new Set([...this.forgotten, ...more.forgotten])].toSorted(),
      removed: Object.fromEntries(removed),
      atMs: more.atMs,
    };
  }
}

export function joinRanges(ranges: Ranges): Ranges {
  const joined: [number, number][] = [];
  for (const [from, to] of ranges.toSorted((left, right) => left[0] - right[0])) {
    const last = joined.at(-1);
    if (last !== undefined && from <= last[1] + 1) last[1] = Math.max(last[1], to);
    else joined.push([from, to]);
  }
  return joined;
}

export function writeLedger(body: LedgerBody): Json {
  return { includes: body.includes, forgotten: body.forgotten, removed: body.removed, atMs: body.atMs };
}

export function readLedger(fields: JsonFields): LedgerBody {
  const removed = fields.object('removed');
  const range = (value: unknown): readonly [number, number] => {
    const [from, to]: readonly unknown[] = Array.isArray(value) ? value : [];
    return typeof from === 'number' && typeof to === 'number' ? [from, to] : [0, -1];
  };
  return {
    includes: fields.texts('includes'),
    forgotten: fields.texts('forgotten'),
    removed: Object.fromEntries(removed.keys().map((session) => [session, removed.list(session).map(range)])),
    atMs: fields.number('atMs'),
  };
}

/** Ledgers that no other present one includes may not be deleted; the others may. */
export function supersededLedgers(ledgers: readonly { readonly key: string; readonly body: LedgerBody; readonly trusted: TrustedRecord }[]): readonly TrustedRecord[] {
  const included = new Set(ledgers.flatMap(({ body }) => body.includes));
  return ledgers.filter(({ key }) => included.has(key)).map(({ trusted }) => trusted);
}
