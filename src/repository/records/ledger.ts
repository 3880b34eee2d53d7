import { damaged } from '../format/byte-cursor.ts';
import type { Json, JsonFields } from '../format/json.ts';
import { keepNewest, readHead } from './heads.ts';
import type { Head } from './heads.ts';
import { inRanges, joinRanges } from './ranges.ts';
import type { Ranges } from './ranges.ts';
import type { TrustedRecord } from './record-log.ts';

export type LedgerBody = {
  readonly includes: readonly string[];
  /** Ids of marks that retention gave up. */
  readonly forgotten: readonly string[];
  /** By session: the counters of records that were deleted on purpose. */
  readonly removed: Readonly<Record<string, Ranges>>;
  /** What removed starts named, so that it stays named. */
  readonly heads: readonly Head[];
  readonly atMs: number;
};

/** A record that is about to be removed. */
export type RemovedRecord = { readonly session: string; readonly counter: number };

export type LedgerNews = {
  readonly forgotten: readonly string[];
  readonly removed: readonly RemovedRecord[];
  /** What the starts among `removed` named. */
  readonly heads: readonly Head[];
  /** Of what was said before, only this is carried on: marks whose record is there, and sessions of which something is there. */
  readonly isMark: (id: string) => boolean;
  readonly isSession: (session: string) => boolean;
  readonly atMs: number;
};

const NOTHING: Ranges = [];

/** What maintainers did on purpose, taken together from all ledgers. */
export class Ledger {
  readonly forgotten: ReadonlySet<string>;
  readonly heads: readonly Head[];
  readonly #removed: ReadonlyMap<string, Ranges>;
  /** Keys of the ledgers that went into this one. */
  readonly keys: readonly string[];

  constructor(bodies: readonly { readonly key: string; readonly body: LedgerBody }[]) {
    this.keys = bodies.map(({ key }) => key);
    this.forgotten = new Set(bodies.flatMap(({ body }) => body.forgotten));
    const heads = new Map<string, Head>();
    const removed = new Map<string, Ranges>();
    for (const { body } of bodies) {
      for (const head of body.heads) keepNewest(heads, head);
      for (const [session, ranges] of Object.entries(body.removed)) {
        removed.set(session, joinRanges([...(removed.get(session) ?? NOTHING), ...ranges]));
      }
    }
    this.heads = [...heads.values()];
    this.#removed = removed;
  }

  isRemoved(session: string, counter: number): boolean {
    return inRanges(this.removedOf(session), counter);
  }

  removedOf(session: string): Ranges {
    return this.#removed.get(session) ?? NOTHING;
  }

  /** A ledger that says all that this one says and that still matters, and more. */
  extend(news: LedgerNews): LedgerBody {
    const removed = new Map<string, Ranges>(this.#removed);
    for (const { session, counter } of news.removed) {
      removed.set(session, joinRanges([...(removed.get(session) ?? NOTHING), [counter, counter]]));
    }
    const heads = new Map<string, Head>();
    for (const head of [...this.heads, ...news.heads]) if (news.isSession(head.session)) keepNewest(heads, head);
    const forgotten = new Set([...this.forgotten].filter(news.isMark));
    for (const id of news.forgotten) forgotten.add(id);
    return {
      includes: this.keys,
      forgotten: [...forgotten].toSorted(),
      removed: Object.fromEntries(removed),
      heads: [...heads.values()],
      atMs: news.atMs,
    };
  }
}

export function writeLedger(body: LedgerBody): Json {
  const heads = body.heads.map(({ session, counter, digest }) => ({ session, counter, digest }));
  return { includes: body.includes, forgotten: body.forgotten, removed: body.removed, heads, atMs: body.atMs };
}

/** @throws REPOSITORY_DAMAGED */
export function readLedger(fields: JsonFields): LedgerBody {
  const removed = fields.object('removed');
  return {
    includes: fields.texts('includes'),
    forgotten: fields.texts('forgotten'),
    removed: Object.fromEntries(removed.keys().map((session) => [session, removed.list(session).map(readRange)])),
    heads: fields.objects('heads').map(readHead),
    atMs: fields.number('atMs'),
  };
}

function readRange(value: unknown): readonly [number, number] {
  // Whatever is in a list from outside is unknown until it is checked.
  const list: readonly unknown[] = Array.isArray(value) ? (value as readonly unknown[]) : [];
  const [from, to] = list;
  if (isCounter(from) && isCounter(to) && from <= to) return [from, to];
  throw damaged('a ledger', 'a range of counters makes no sense');
}

function isCounter(value: unknown): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= 0xffffffff;
}

/** Ledgers that another present one includes: they may be deleted. */
export function supersededLedgers(
  ledgers: readonly { readonly key: string; readonly body: LedgerBody; readonly trusted: TrustedRecord }[],
): readonly TrustedRecord[] {
  const included = new Set(ledgers.flatMap(({ body }) => body.includes));
  return ledgers.filter(({ key }) => included.has(key)).map(({ trusted }) => trusted);
}
