import { sha256 } from '../format/crypto.ts';
import type { JsonFields } from '../format/json.ts';
import { NO_PREVIOUS } from '../format/record.ts';
import type { Ledger } from './ledger.ts';
import type { RecordLog, TrustedRecord } from './record-log.ts';

/** The last record of a session that somebody saw. */
export type Head = { readonly session: string; readonly counter: number; readonly digest: string };

/** Something that was there once and is not there now, without a ledger that says why. */
export type Discontinuity = {
  readonly session: string;
  readonly counter?: number | undefined;
  readonly key?: string | undefined;
  readonly message: string;
};

/** The chained records of each session, by counter. */
export type Chains = ReadonlyMap<string, ReadonlyMap<number, TrustedRecord>>;

export function chainsOf(log: RecordLog): Chains {
  const chains = new Map<string, Map<number, TrustedRecord>>();
  for (const trusted of log.byKey.values()) {
    const { session, counter, kind } = trusted.record.header;
    if (kind === 'beat' || kind === 'condemned') continue;
    const chain = chains.get(session) ?? new Map<number, TrustedRecord>();
    chains.set(session, chain);
    chain.set(counter, trusted);
  }
  return chains;
}

/** Heads that a start names in its plain section. @throws REPOSITORY_DAMAGED */
export function readHeads(plain: JsonFields): readonly Head[] {
  return plain.objects('heads').map((fields) => ({
    session: fields.hex('session', 16),
    counter: fields.count('counter', 0xffffffff),
    digest: fields.hex('digest', 32),
  }));
}

export type HeadView = {
  /** The newest record of each session that is there. */
  readonly present: ReadonlyMap<string, Head>;
  /** What starts say about sessions: the largest counter named for each. */
  readonly named: ReadonlyMap<string, Head>;
  /** Heads that no start names at their counter: what a new session names, and what a host remembers. */
  readonly frontier: readonly Head[];
};

/** `headsNamedBy`: what a start says; nothing when it is damaged. */
export function viewHeads(chains: Chains, headsNamedBy: (start: TrustedRecord) => readonly Head[]): HeadView {
  const present = new Map<string, Head>();
  const named = new Map<string, Head>();
  for (const [session, chain] of chains) {
    const counter = Math.max(...chain.keys());
    const last = chain.get(counter);
    if (last !== undefined) present.set(session, { session, counter, digest: last.record.digest });
    const start = chain.get(0);
    if (start?.record.header.kind !== 'start') continue;
    for (const head of headsNamedBy(start)) {
      if (head.counter >= (named.get(head.session)?.counter ?? -1)) named.set(head.session, head);
    }
  }
  const frontier = [...present.values()]
    .filter((head) => (named.get(head.session)?.counter ?? -1) < head.counter)
    .toSorted((left, right) => (left.session < right.session ? -1 : 1));
  return { present, named, frontier };
}

/** Every hole and every broken link in the chains, and every remembered head that is gone. */
export function findDiscontinuities(chains: Chains, heads: HeadView, ledger: Ledger, remembered: readonly Head[]): readonly Discontinuity[] {
  const found: Discontinuity[] = [];
  const sessions = new Set([...chains.keys(), ...heads.named.keys()]);
  for (const session of sessions) {
    const chain = chains.get(session) ?? new Map<number, TrustedRecord>();
    const last = Math.max(heads.present.get(session)?.counter ?? -1, heads.named.get(session)?.counter ?? -1);
    for (let counter = 0; counter <= last; counter++) {
      const trusted = chain.get(counter);
      if (trusted === undefined) {
        if (!ledger.isRemoved(session, counter)) found.push({ session, counter, message: `record ${counter} of session ${session} is gone` });
        continue;
      }
      const before = chain.get(counter - 1);
      const expected = counter === 0 ? NO_PREVIOUS : before?.record.digest;
      if (expected !== undefined && trusted.record.header.previous !== expected) {
        found.push({ session, counter, key: trusted.record.key, message: `${trusted.record.key} does not follow the record before it` });
      }
    }
  }
  for (const head of [...heads.named.values(), ...remembered]) {
    const problem = missingHead(head, chains, heads, ledger);
    if (problem !== undefined) found.push(problem);
  }
  return found;
}

function missingHead(head: Head, chains: Chains, heads: HeadView, ledger: Ledger): Discontinuity | undefined {
  const { session, counter, digest } = head;
  const there = chains.get(session)?.get(counter);
  if (there !== undefined) {
    if (there.record.digest === digest) return undefined;
    return { session, counter, key: there.record.key, message: `${there.record.key} is not the record that was there before` };
  }
  if (ledger.isRemoved(session, counter) || (heads.named.get(session)?.counter ?? -1) >= counter) return undefined;
  return { session, counter, message: `the head of session ${session} (record ${counter}), seen before, is gone` };
}

/** A short text that stands for all that a repository holds; equal only when the heads are. */
export function fingerprintOf(frontier: readonly Head[]): string {
  const lines = frontier.map(({ session, counter, digest }) => `${session} ${counter} ${digest}\n`).toSorted();
  return Buffer.from(sha256(Buffer.from(lines.join(''))).subarray(0, 16)).toString('hex');
}

