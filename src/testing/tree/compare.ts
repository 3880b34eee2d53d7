import { fromHex } from '../../core/bytes.ts';
import { pathText } from '../../io/native.ts';
import { snapshotTree } from './snapshot.ts';
import type { Snapshot, SnapshotEntry } from './snapshot.ts';

export type CompareOptions = {
  /** Sockets, fifos and devices on one side only are no difference: no backup keeps them. Default true. */
  readonly ignoreSpecial?: boolean | undefined;
  /** Fields that are not compared, such as `owner` where the user may not set it. */
  readonly ignore?: readonly (keyof SnapshotEntry)[] | undefined;
};

/** `path` for people; `what`: `missing` in `right`, `extra` in `right`, or the field that differs. */
export type TreeDifference = {
  readonly path: string;
  readonly what: 'missing' | 'extra' | keyof SnapshotEntry;
  readonly left: string;
  readonly right: string;
};

const FIELDS = [
  'type',
  'mode',
  'owner',
  'mtimeNs',
  'sizeBytes',
  'content',
  'data',
  'xattrs',
  'sameAs',
] as const satisfies readonly (keyof SnapshotEntry)[];
const KEPT_TYPES: ReadonlySet<string> = new Set(['file', 'folder', 'link']);

/** All differences of two trees, in no promised order; empty when a backup of one that is restored to the other lost nothing. */
export function compareTrees(left: string, right: string, options: CompareOptions = {}): readonly TreeDifference[] {
  return compareSnapshots(snapshotTree(left), snapshotTree(right), options);
}

export function compareSnapshots(
  left: Snapshot,
  right: Snapshot,
  options: CompareOptions = {},
): readonly TreeDifference[] {
  const differences: TreeDifference[] = [];
  const fields = FIELDS.filter((field) => options.ignore?.includes(field) !== true);
  const ignored = (entry: SnapshotEntry): boolean => options.ignoreSpecial !== false && !KEPT_TYPES.has(entry.type);
  for (const [path, entry] of left) {
    const other = right.get(path);
    if (other !== undefined) differences.push(...compareEntries(path, entry, other, fields));
    else if (!ignored(entry)) differences.push({ path: textOf(path), what: 'missing', left: entry.type, right: '' });
  }
  for (const [path, entry] of right) {
    if (!left.has(path) && !ignored(entry)) {
      differences.push({ path: textOf(path), what: 'extra', left: '', right: entry.type });
    }
  }
  return differences;
}

function compareEntries(
  path: string,
  left: SnapshotEntry,
  right: SnapshotEntry,
  fields: readonly (keyof SnapshotEntry)[],
): TreeDifference[] {
  return fields
    .filter((field) => show(left, field) !== show(right, field))
    .map((field) => ({ path: textOf(path), what: field, left: show(left, field), right: show(right, field) }));
}

function show(entry: SnapshotEntry, field: keyof SnapshotEntry): string {
  const value = entry[field];
  if (field === 'sameAs' && typeof value === 'string') return textOf(value);
  return String(value ?? '-');
}

function textOf(path: string): string {
  return path === '' ? '.' : pathText(fromHex(path));
}
