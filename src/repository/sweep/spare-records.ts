import { knownDamage } from '../known-damage.ts';
import { openTrusted } from '../records/record-log.ts';
import type { TrustedRecord } from '../records/record-log.ts';
import { supersededLedgers } from '../records/ledger.ts';
import { neededJournals } from './view.ts';
import type { SweepView } from './view.ts';

/** Records of past runs that stay at least. */
const RUNS_KEPT = 500;
/**
 * Sweeps leave a session and a ledger behind themselves: these go only when there are more, or else no sweep would ever find nothing to do.
 */
export const BARE_SESSIONS_KEPT = 32;
export const SUPERSEDED_LEDGERS_KEPT = 8;

/** Chained records that nothing needs, however young, for which a ledger speaks before they go. `bases`: keys of spare manifests. */
export function spareRecords(view: SweepView, bases: ReadonlySet<string>): readonly TrustedRecord[] {
  const isSpare = spareness(view, bases);
  const spare = [...view.catalogue.log.byKey.values()].filter(
    (trusted) => !view.live.has(trusted.record.header.session) && isSpare(trusted),
  );
  const going = spare.filter(mayGoWith(view, new Set(spare.map(({ record }) => record.key))));
  return [...going, ...finishedSessions(view, new Set(going.map(({ record }) => record.key)))];
}

function spareness(view: SweepView, spare: ReadonlySet<string>): (trusted: TrustedRecord) => boolean {
  const { catalogue } = view;
  const { ledger } = catalogue;
  const journals = neededJournals(view);
  const activePins = new Set([...catalogue.pins.values()].flat());
  const superseded = new Set(supersededLedgers(catalogue.ledgers).map(({ record }) => record.key));
  if (superseded.size <= SUPERSEDED_LEDGERS_KEPT) superseded.clear();
  const { records: verifications } = knownDamage(view.access, catalogue);
  const oldRuns = new Set(pastRuns(view).slice(RUNS_KEPT));
  const hasBase = (key: string): boolean => catalogue.bases.has(key) && !spare.has(key);
  return (trusted) => {
    const { kind, session, counter } = trusted.record.header;
    const { key } = trusted.record;
    switch (kind) {
      case 'manifest':
        return !hasBase(key);
      case 'journal':
        return !journals.has(key);
      case 'pin':
        return !activePins.has(key);
      case 'unpin':
      case 'void':
        return true;
      case 'proof':
        return !hasBase(openTrusted(view.access, trusted, ['maintenance'])?.text('manifest') ?? '');
      case 'ledger':
        return superseded.has(key);
      case 'run':
        return oldRuns.has(key) && !verifications.has(key);
      case 'start':
      case 'end':
        // A deletion that was cut off has left it.
        return ledger.isRemoved(session, counter);
      case 'beat':
      case 'condemned':
        return false;
    }
  };
}

/** Keys of the records of runs, newest first. */
function pastRuns({ catalogue }: SweepView): readonly string[] {
  const runs = [...catalogue.log.byKey.values()].filter(({ record }) => record.header.kind === 'run');
  return runs.toSorted((left, right) => right.modifiedMs - left.modifiedMs).map(({ record }) => record.key);
}

/** Whether a record may go with these: a void only with what it voids, an unpin only with the pins that it ends, start and end of a session only with the rest. */
export function mayGoWith(view: SweepView, going: ReadonlySet<string>): (trusted: TrustedRecord) => boolean {
  const { chains, ledger, log } = view.catalogue;
  const stays = (key: string): boolean => log.byKey.has(key) && !going.has(key);
  return (trusted) => {
    const { kind, session, counter } = trusted.record.header;
    if (isFrame(trusted) && !ledger.isRemoved(session, counter)) {
      const rest = [...(chains.get(session)?.values() ?? [])].filter((other) => !isFrame(other));
      return !rest.some(({ record }) => stays(record.key));
    }
    if (kind === 'void') return !stays(openTrusted(view.access, trusted, ['plain'])?.text('record') ?? '');
    if (kind === 'unpin') return !(openTrusted(view.access, trusted, ['maintenance'])?.texts('pins') ?? []).some(stays);
    return true;
  };
}

function isFrame({ record }: TrustedRecord): boolean {
  return record.header.kind === 'start' || record.header.kind === 'end';
}

/** Start and end of sessions of which nothing else is left. */
function finishedSessions(view: SweepView, going: ReadonlySet<string>): readonly TrustedRecord[] {
  const emptied: TrustedRecord[] = [];
  const bare: TrustedRecord[][] = [];
  for (const [session, chain] of view.catalogue.chains) {
    if (view.live.has(session)) continue;
    const left = [...chain.values()].filter(({ record }) => !going.has(record.key));
    const frame = left.filter(isFrame);
    if (frame.length < left.length) continue;
    if (left.length < chain.size) emptied.push(...frame);
    else bare.push(frame);
  }
  return bare.length > BARE_SESSIONS_KEPT ? [...emptied, ...bare.flat()] : emptied;
}
