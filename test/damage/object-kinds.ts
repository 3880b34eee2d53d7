import { parsePackKey, parseRecordKey } from '../../src/repository/format/names.ts';
import { packKeysOf } from '../../src/repository/catalogue.ts';
import type { Catalogue } from '../../src/repository/catalogue.ts';
import { basesOfMarks, neededSegments } from '../../src/repository/log-needs.ts';
import { placeOf } from '../../src/repository/log-reader.ts';
import { segmentPackKeys } from '../../src/repository/log-view.ts';

/** Records that are part of their session's chain: each is as it was, or verify must say so. */
const CHAINED = ['start', 'end', 'manifest', 'journal', 'void', 'pin', 'unpin', 'proof', 'run', 'ledger'] as const;

export type ObjectKind =
  | (typeof CHAINED)[number]
  | 'header'
  | 'key slot'
  | 'certificate'
  | 'beat'
  | 'condemned'
  | 'index'
  | 'content pack'
  | 'node pack'
  | 'spare pack'
  | 'body'
  | 'foreign';

const FOLDERS: Readonly<Record<string, ObjectKind>> = {
  keys: 'key slot',
  credentials: 'certificate',
  manifests: 'manifest',
  journal: 'journal',
  void: 'void',
  pins: 'pin',
  unpins: 'unpin',
  proofs: 'proof',
  runs: 'run',
  ledger: 'ledger',
  condemned: 'condemned',
  index: 'index',
  logs: 'body',
};

export function isChained(kind: ObjectKind): boolean {
  return CHAINED.some((chained) => chained === kind);
}

/** Tells objects apart as the catalogue of the whole repository knew them. `nodePacks`: packs that hold nodes. */
export function kindOf(
  key: string,
  options: { readonly neededPacks: ReadonlySet<string>; readonly nodePacks: ReadonlySet<string> },
): ObjectKind {
  if (key === 'tidemark.json') return 'header';
  if (parsePackKey(key) !== undefined) {
    if (!options.neededPacks.has(key)) return 'spare pack';
    return options.nodePacks.has(key) ? 'node pack' : 'content pack';
  }
  const folder = key.slice(0, Math.max(0, key.indexOf('/')));
  if (folder !== 'sessions') return FOLDERS[folder] ?? 'foreign';
  const name = parseRecordKey(key);
  if (name === undefined) return 'foreign';
  if (name.number === 'end') return 'end';
  return name.number === 0 ? 'start' : 'beat';
}

/** Packs of all bases and segments that marks stand on. */
export function neededPacks(catalogue: Catalogue): ReadonlySet<string> {
  const { marks, bases } = catalogue;
  const named = basesOfMarks(marks);
  const ofBases = [...bases.values()].filter(({ key }) => named.has(key)).flatMap(packKeysOf);
  return new Set([...ofBases, ...[...neededSegments(catalogue, { marks, ends: [] })].flatMap(segmentPackKeys)]);
}

/** Bodies of all segments that marks stand on. */
export function neededBodies(catalogue: Catalogue): ReadonlySet<string> {
  const segments = [...neededSegments(catalogue, { marks: catalogue.marks, ends: [] })];
  return new Set(segments.filter(({ body }) => body !== undefined).map(placeOf));
}
