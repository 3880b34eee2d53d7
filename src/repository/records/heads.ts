import { sha256 } from '../format/crypto.ts';
import type { JsonFields } from '../format/json.ts';
import type { RecordKind } from '../format/names.ts';
import { NO_PREVIOUS } from '../format/record.ts';
import type { SealedRecord } from '../format/record.ts';
import { joinRanges } from './ranges.ts';
import type { Ranges } from './ranges.ts';
import type { Ledger } from './ledger.ts';
import type { RecordLog, TrustedRecord } from './record-log.ts';

/** The last record of a session that somebody saw. */
export type Head = { readonly session: string; readonly counter: number; readonly digest: string };

/** Something that was there once and is not there now, without a ledger that says why: records `counter` to `to`. */
export type Discontinuity = {
  readonly session: string;
  readonly counter: number;
  readonly to: number;
  readonly key?: string | undefined;
  readonly message: string;
};

/** Whether records of this kind are part of their session's chain. */
export function isChained(kind: RecordKind): boolean {
  return kind !== 'beat' && kind !== 'condemned';
}

/** The chained records of each session, by counter. */
export type Chains = ReadonlyMap<string, ReadonlyMap<number, TrustedRecord>>;

export function chainsOf(log: RecordLog): Chains {
  const chains = new Map<string, Map<number, TrustedRecord>>();
  for (const trusted of log.byKey.values()) {
    const { session, counter, kind } = trusted.record.header;
    if (!isChained(kind)) continue;
    const chain = chains.get(session) ?? new Map<number, TrustedRecord>();
    chains.set(session, chain);
    chain.set(counter, trusted);
  }
  return chains;
}

/** Heads that a start names in its plain section. @throws REPOSITORY_DAMAGED */
export function readHeads(plain: JsonFields): readonly Head[] {
  return plain.objects('heads').map(readHead);
}

/** @throws REPOSITORY_DAMAGED */
export function readHead(fields: JsonFields): Head {
  return {
    session: fields.hex('session', 16),
    counter: fields.count('counter', 0xffffffff),
    digest: fields.hex('digest', 32),
  };
}

export type HeadView = {
  /** The newest record of each session that is there. */
  readonly present: ReadonlyMap<string, Head>;
  /** What starts and ledgers say about sessions: the largest counter named for each. */
  readonly named: ReadonlyMap<string, Head>;
  /** Heads that no start and no ledger names at their counter: what a new session names, and what a host remembers. */
  readonly frontier: readonly Head[];
};

/** `headsNamedBy`: what a start says; nothing when it is damaged. `ledger`: what starts said that are there no more. */
export function viewHeads(
  chains: Chains,
  ledger: Ledger,
  headsNamedBy: (start: TrustedRecord) => readonly Head[],
): HeadView {
  const present = new Map<string, Head>();
  const named = new Map<string, Head>();
  for (const head of ledger.heads) keepNewest(named, head);
  for (const [session, chain] of chains) {
    const counter = chain.keys().reduce((last, other) => Math.max(last, other), -1);
    const last = chain.get(counter);
    if (last !== undefined) present.set(session, { session, counter, digest: last.record.digest });
    const start = chain.get(0);
    if (start?.record.header.kind !== 'start') continue;
    for (const head of headsNamedBy(start)) keepNewest(named, head);
  }
  const frontier = [...present.values()]
    .filter((head) => (named.get(head.session)?.counter ?? -1) < head.counter)
    .toSorted((left, right) => (left.session < right.session ? -1 : 1));
  return { present, named, frontier };
}

export function keepNewest(heads: Map<string, Head>, head: Head): void {
  if (head.counter >= (heads.get(head.session)?.counter ?? -1)) heads.set(head.session, head);
}

/** Every hole and every broken link in the chains, and every remembered head that is gone. */
export function findDiscontinuities(
  chains: Chains,
  heads: HeadView,
  ledger: Ledger,
  remembered: readonly Head[],
): readonly Discontinuity[] {
  const found: Discontinuity[] = [];
  for (const session of new Set([...chains.keys(), ...heads.named.keys()])) {
    const chain = chains.get(session) ?? new Map<number, TrustedRecord>();
    const last = Math.max(heads.present.get(session)?.counter ?? -1, heads.named.get(session)?.counter ?? -1);
    for (const [from, to] of missingRanges([...chain.keys()], ledger.removedOf(session), last)) {
      const what = from === to ? `record ${from}` : `records ${from} to ${to}`;
      found.push({
        session,
        counter: from,
        to,
        message: `${what} of session ${session} ${from === to ? 'is' : 'are'} gone`,
      });
    }
    for (const [counter, { record }] of chain) {
      const problem = misplaced(record, chain.get(counter - 1)?.record);
      if (problem === undefined) continue;
      const { key } = record;
      found.push({ session, counter, to: counter, key, message: `${key} ${problem}` });
    }
  }
  for (const head of [...heads.named.values(), ...remembered]) {
    const problem = missingHead(head, chains, heads, ledger);
    if (problem !== undefined) found.push(problem);
  }
  return found;
}

/** Why a record can't be where it is in its chain. */
function misplaced({ header }: SealedRecord, before: SealedRecord | undefined): string | undefined {
  const expected = header.counter === 0 ? NO_PREVIOUS : (before?.digest ?? header.previous);
  if (header.previous !== expected) return 'does not follow the record before it';
  if ((header.kind === 'start') !== (header.counter === 0)) return 'is not where its chain begins';
  return before?.header.kind === 'end' ? 'comes after the end of its session' : undefined;
}

/** Chained records whose number another one of their session has. */
export function findTwins(log: Pick<RecordLog, 'byKey'>, chains: Chains): readonly Discontinuity[] {
  const found: Discontinuity[] = [];
  for (const [key, trusted] of log.byKey) {
    const { session, counter, kind } = trusted.record.header;
    if (!isChained(kind) || chains.get(session)?.get(counter) === trusted) continue;
    found.push({
      session,
      counter,
      to: counter,
      key,
      message: `${key} has the number of another record of its session`,
    });
  }
  return found;
}

/** What is neither present nor removed of the counters up to `last`; in ranges, since nobody bounds what a start may name. */
function missingRanges(present: readonly number[], removed: Ranges, last: number): Ranges {
  const missing: (readonly [number, number])[] = [];
  let next = 0;
  const there = joinRanges([...present.map((counter) => [counter, counter] as const), ...removed]);
  for (const [from, to] of [...there, [last + 1, last + 1] as const]) {
    const end = Math.min(from - 1, last);
    if (end >= next) missing.push([next, end]);
    next = Math.max(next, to + 1);
  }
  return missing;
}

function missingHead(head: Head, chains: Chains, heads: HeadView, ledger: Ledger): Discontinuity | undefined {
  const { session, counter, digest } = head;
  const there = chains.get(session)?.get(counter);
  if (there !== undefined) {
    if (there.record.digest === digest) return undefined;
    const { key } = there.record;
    return { session, counter, to: counter, key, message: `${key} is not the record that was there before` };
  }
  // A hole below what is there or named is found anyway.
  const known = Math.max(heads.named.get(session)?.counter ?? -1, heads.present.get(session)?.counter ?? -1);
  if (ledger.isRemoved(session, counter) || known >= counter) return undefined;
  return {
    session,
    counter,
    to: counter,
    message: `the head of session ${session} (record ${counter}), seen before, is gone`,
  };
}

/** A short text that stands for all that a repository holds; equal only when the heads are. */
export function fingerprintOf(frontier: readonly Head[]): string {
  const lines = frontier.map(({ session, counter, digest }) => `${session} ${counter} ${digest}\n`).toSorted();
  return Buffer.from(sha256(Buffer.from(lines.join(''))).subarray(0, 16)).toString('hex');
}
