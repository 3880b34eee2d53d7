import { own } from '../../core/own.ts';
import type { BrokenMark, Catalogue } from '../catalogue.ts';
import { parseRecordKey } from '../format/names.ts';
import type { Discontinuity } from '../records/heads.ts';
import type { BadRecord } from '../records/record-log.ts';
import type { DamageList, FoundDamage } from './damage.ts';

/** What is wrong with the records themselves: one item for each thing that is damaged or gone, however many others miss it. */
export function addCatalogueDamage(catalogue: Catalogue, damage: DamageList): void {
  const missing = new Map<string, BrokenMark[]>();
  for (const broken of catalogue.broken) {
    if (isLogMissing(broken, catalogue)) {
      const { history, mark } = broken;
      damage.add({
        object: `the log of ${history}`,
        kind: 'log',
        message: 'what leads to positions of marks is missing',
        marks: [`${mark.id} ${history}`],
      });
      continue;
    }
    const base = broken.isRefused ? broken.key : (own(broken.mark.bases, broken.history) ?? broken.key);
    missing.set(base, [...(missing.get(base) ?? []), broken]);
  }
  const marksWithout = (base: string): readonly string[] =>
    (missing.get(base) ?? []).map(({ mark, history }) => `${mark.id} ${history}`);

  for (const { key, message } of catalogue.log.certificates.bad) {
    damage.add({ object: key, kind: 'certificate', message });
  }
  for (const bad of catalogue.bad) {
    const session = parseRecordKey(bad.key)?.session ?? '';
    // A session is of one credential: where others of its records count, this one's name of another is damage.
    const credential = catalogue.chains.has(session) ? undefined : bad.credential;
    addBadRecord({ ...bad, credential }, marksWithout(bad.key), damage);
  }
  const unreadable = unreadableOf(catalogue);
  const told = new Set(catalogue.bad.map(({ key }) => key));
  for (const found of catalogue.discontinuities) {
    if (found.key !== undefined) {
      damage.add({ object: found.key, kind: 'chain', message: found.message });
      continue;
    }
    for (const gap of gapsIn(found, unreadable)) {
      damage.add(gapDamage(found, gap, missing));
      for (const base of missing.keys()) if (isIn(base, found.session, gap)) told.add(base);
    }
  }
  for (const [base, marks] of missing) {
    if (told.has(base) || damage.has(base)) continue;
    const [first] = marks;
    if (first?.isRefused === true) {
      damage.add({
        object: base,
        kind: 'mark',
        message: first.message,
        marks: marks.flatMap(({ mark }) => storesOf(mark)),
      });
    } else damage.add({ object: base, kind: 'manifest', message: 'it is gone', marks: marksWithout(base) });
  }
}

/** Which record it was in that is gone nobody can tell; that one is gone is told of its session. */
function isLogMissing({ isRefused, mark, history }: BrokenMark, { bases }: Catalogue): boolean {
  const named = own(mark.bases, history);
  return !isRefused && (named === undefined || bases.has(named));
}

function storesOf(mark: BrokenMark['mark']): readonly string[] {
  return Object.keys(mark.bases).map((history) => `${mark.id} ${history}`);
}

function addBadRecord({ key, message, credential }: BadRecord, marks: readonly string[], damage: DamageList): void {
  const lost = key.startsWith('journal/') ? [...marks, `all marks of ${key}`] : marks;
  if (credential === undefined) {
    damage.add({ object: key, kind: kindOf(key), message, marks: lost });
    return;
  }
  const object = `credentials/${credential}`;
  damage.add({
    object,
    kind: 'certificate',
    message: 'it is gone: what its writer signed does not count',
    marks: lost,
  });
}

function kindOf(key: string): string {
  if (key.startsWith('manifests/')) return 'manifest';
  return key.startsWith('journal/') ? 'journal' : 'record';
}

/** Counters of records that can't be read, by session: they are not gone. */
function unreadableOf({ bad, chains }: Catalogue): ReadonlyMap<string, ReadonlySet<number>> {
  const unreadable = new Map<string, Set<number>>();
  const names = bad.flatMap(({ key }) => parseRecordKey(key) ?? []);
  const last = (counters: Iterable<number>): number =>
    Iterator.from(counters).reduce((most, counter) => Math.max(most, counter), -1);
  // The end of a session has its counter inside, where it can't be read: it is the one after all others.
  for (const { session, number } of names.toSorted(
    (left, right) => Number(left.number === 'end') - Number(right.number === 'end'),
  )) {
    const counters = unreadable.get(session) ?? new Set();
    unreadable.set(session, counters);
    const after = 1 + Math.max(last(chains.get(session)?.keys() ?? []), last(counters));
    counters.add(number === 'end' ? after : number);
  }
  return unreadable;
}

/** What is left of a hole without the records that are told of already. */
function* gapsIn(
  { session, counter, to }: Discontinuity,
  unreadable: ReadonlyMap<string, ReadonlySet<number>>,
): Generator<readonly [number, number]> {
  let from = counter;
  for (const told of [...(unreadable.get(session) ?? [])].toSorted((left, right) => left - right)) {
    if (told < from || told > to) continue;
    if (from < told) yield [from, told - 1];
    from = told + 1;
  }
  if (from <= to) yield [from, to];
}

function gapDamage(
  found: Discontinuity,
  [from, to]: readonly [number, number],
  missing: ReadonlyMap<string, readonly BrokenMark[]>,
): FoundDamage {
  const { session, counter } = found;
  const inside = [...missing].filter(([base]) => isIn(base, session, [from, to]));
  const marks = inside.flatMap(([, broken]) => broken.map(({ mark, history }) => `${mark.id} ${history}`));
  const [only] = inside;
  const isWhole = from === counter && to === found.to;
  const what = from === to ? `record ${from}` : `records ${from} to ${to}`;
  const message = isWhole ? found.message : `${what} of session ${session} can’t be found`;
  if (from === to && only !== undefined) return { object: only[0], kind: 'manifest', message, marks };
  return { object: `${what} of session ${session}`, kind: 'chain', message, marks };
}

/** Whether a manifest of that key would be one of the session's records `from` to `to`. */
function isIn(manifest: string, session: string, [from, to]: readonly [number, number]): boolean {
  const name = parseRecordKey(manifest);
  return name?.session === session && typeof name.number === 'number' && from <= name.number && name.number <= to;
}
