import { isDamage } from './format/byte-cursor.ts';
import { parseBodyKey, parsePackKey, parseRecordKey } from './format/names.ts';
import type { JsonFields } from './format/json.ts';
import type { Section } from './format/record.ts';
import type { RepositoryAccess } from './access.ts';
import type { Catalogue, MarkRecord } from './catalogue.ts';
import { basesOfMarks, neededSegments, objectsOf } from './log-needs.ts';
import { ofKind, openTrusted } from './records/record-log.ts';
import type { RecordLog, TrustedRecord } from './records/record-log.ts';
import type { Damage } from './verify/damage.ts';

/** So many damaged objects are named by one verification. */
const MOST_OBJECTS = 1000;
const depths = ['structure', 'some', 'all'] as const;

/** What a verification says of itself to everyone. `depth`: of which contents it read the bytes. */
export type Verification = {
  readonly depth: (typeof depths)[number];
  /** Keys of damaged packs, bodies, manifests and journal records: of those that it found, and of those known that it did not look at. */
  readonly objects: readonly string[];
  /** What else it found, or did not name. */
  readonly others: number;
};

/** What verifications found damaged and none found whole since. */
export type KnownDamage = {
  readonly objects: ReadonlySet<string>;
  /** What one of them found besides. */
  readonly others: number;
  /** When the newest of these verifications ended, by the object store's clock. */
  readonly foundAtMs: number;
  /** Keys of the records that say so. */
  readonly records: ReadonlySet<string>;
};

type Needing = Pick<Catalogue, 'bases' | 'histories'>;
type Past = Verification & { readonly trusted: TrustedRecord };

/** `known`: keys that this verification did not look at. */
export function verificationOf(
  damage: readonly Damage[],
  { depth, known }: { readonly depth: Verification['depth']; readonly known: readonly string[] },
): Verification {
  const found = damage.map(({ object }) => object).filter(isNamed);
  const named = new Set(found.slice(0, MOST_OBJECTS));
  const objects = [...new Set([...named, ...known])].slice(0, MOST_OBJECTS);
  return { depth, objects, others: damage.length - named.size };
}

/** The section of the run's record that says it. It is plain: keys of objects are seen by whoever sees the repository, and writers have to know. */
export function writeVerification({ depth, objects, others }: Verification): Section {
  return { name: 'plain', value: { verified: depth, damaged: [...objects], others } };
}

/**
 * What the verifications of maintainers say, whatever key is at hand. The newest that read all counts, and what others found since; of those that looked
 * at the structure alone the last one. What they name is only a hint: nothing may be taken for lost, or for whole, because of it.
 */
export function knownDamage(
  access: RepositoryAccess,
  { log }: { readonly log: Pick<RecordLog, 'byKey'> },
): KnownDamage {
  const objects = new Set<string>();
  const records = new Set<string>();
  let others = 0;
  let foundAtMs = 0;
  for (const { trusted, ...found } of standing(access, log)) {
    records.add(trusted.record.key);
    for (const object of found.objects) objects.add(object);
    others = Math.max(others, found.others);
    if (found.objects.length + found.others > 0) foundAtMs = Math.max(foundAtMs, trusted.modifiedMs);
  }
  return { objects, others, foundAtMs, records };
}

/** By store, how many of these objects the marks need to bring it back. Only with a maintainer's or reader's key. */
export function neededOf(
  objects: ReadonlySet<string>,
  catalogue: Needing,
  marks: readonly MarkRecord[],
): ReadonlyMap<string, number> {
  const byStore = new Map<string, Set<string>>();
  for (const { store, key } of needsOf(catalogue, marks)) {
    if (!objects.has(key)) continue;
    const needed = byStore.get(store) ?? new Set();
    byStore.set(store, needed.add(key));
  }
  return new Map([...byStore].map(([store, { size }]) => [store, size]));
}

/** Of these objects those that no mark needs: a verification does not look at them. */
export function unneededOf(
  objects: ReadonlySet<string>,
  catalogue: Needing & Pick<Catalogue, 'marks'>,
): readonly string[] {
  if (objects.size === 0) return [];
  const left = new Set(objects);
  for (const { key } of needsOf(catalogue, catalogue.marks)) left.delete(key);
  return [...left];
}

function* needsOf(catalogue: Needing, marks: readonly MarkRecord[]): Generator<{ store: string; key: string }> {
  for (const key of basesOfMarks(marks)) {
    const base = catalogue.bases.get(key);
    if (base === undefined) continue;
    const { store } = base.summary;
    yield { store, key };
    for (const pack of base.maintenance?.packs ?? []) yield { store, key: `packs/${base.credential}/${pack}` };
  }
  for (const segment of neededSegments(catalogue, { marks, ends: [] })) {
    const { store, credential } = segment;
    for (const key of objectsOf(segment)) yield { store, key };
    for (const pack of segment.packs) yield { store, key: `packs/${credential}/${pack}` };
  }
}

/** Newest first, up to the last one that read all. */
function standing(access: RepositoryAccess, log: Pick<RecordLog, 'byKey'>): readonly Past[] {
  const told = ofKind(log, 'run')
    .filter(({ record, certificate }) => certificate.role === 'maintainer' && record.header.sections.includes('plain'))
    .toSorted((left, right) => right.modifiedMs - left.modifiedMs);
  const past: Past[] = [];
  let isLast = true;
  for (const trusted of told) {
    const one = readPast(access, trusted);
    if (one === undefined) continue;
    if (isLast || one.depth !== 'structure') past.push(one);
    if (one.depth === 'all') break;
    isLast = false;
  }
  return past;
}

function readPast(access: RepositoryAccess, trusted: TrustedRecord): Past | undefined {
  try {
    const fields = openTrusted(access, trusted, ['plain']);
    return fields?.has('verified') === true ? { ...readVerification(fields), trusted } : undefined;
  } catch (error) {
    if (!isDamage(error)) throw error;
    return undefined;
  }
}

function readVerification(fields: JsonFields): Verification {
  return {
    depth: fields.oneOf('verified', depths),
    objects: fields.texts('damaged').filter(isNamed).slice(0, MOST_OBJECTS),
    others: fields.count('others'),
  };
}

/** Names of stores and entries are for readers alone. */
function isNamed(object: string): boolean {
  const folder = parseRecordKey(object)?.folder;
  return (
    parsePackKey(object) !== undefined ||
    parseBodyKey(object) !== undefined ||
    folder === 'manifests' ||
    folder === 'journal'
  );
}
