import type { Position } from '../core/position.ts';
import type { BaseRecord, Catalogue, MarkRecord } from './catalogue.ts';
import { bodyKey } from './format/names.ts';
import type { SegmentRecord } from './log-view.ts';

type Known = Pick<Catalogue, 'bases' | 'histories'>;

/** A mark with who signed it. */
export type SignedMark = Pick<MarkRecord, 'mark' | 'credential'>;

/** By history, the key of the base that a mark stands on: what it names, or where a log leads to its position, the one from which it does. */
export function basesByHistory({ histories }: Known, { mark, credential }: SignedMark): ReadonlyMap<string, string> {
  const found = new Map(Object.entries(mark.bases));
  for (const [history, position] of Object.entries(mark.positions)) {
    if (found.has(history)) continue;
    const reached = histories.get(history)?.baseFor({ position, credential, floor: mark.floors?.[history] });
    if (reached !== undefined) found.set(history, reached.key);
  }
  return found;
}

/** Keys of the bases that a mark stands on. */
export function basesOfMark(known: Known, mark: SignedMark): readonly string[] {
  return [...basesByHistory(known, mark).values()];
}

/**
 * The segments that lead to the positions of these marks, and of each base in `ends` as far as its log goes: what is recorded next follows on them.
 */
export function neededSegments(
  known: Known,
  options: { readonly marks: readonly SignedMark[]; readonly ends: Iterable<BaseRecord> },
): ReadonlySet<SegmentRecord> {
  const { bases, histories } = known;
  const furthest = new Map<BaseRecord, Position>();
  const need = (base: BaseRecord | undefined, position: Position | undefined): void => {
    if (base === undefined || position === undefined) return;
    if (position.order > (furthest.get(base)?.order ?? '')) furthest.set(base, position);
  };
  for (const signed of options.marks) {
    for (const [history, key] of basesByHistory(known, signed)) need(bases.get(key), signed.mark.positions[history]);
  }
  for (const base of options.ends) need(base, histories.get(base.summary.history)?.reachOf(base));
  const needed = new Set<SegmentRecord>();
  for (const [base, position] of furthest) {
    const view = histories.get(base.summary.history);
    for (const segment of view?.segmentsFrom(base, position) ?? []) needed.add(segment);
  }
  return needed;
}

/** The objects that a segment needs besides its packs: its record, and its frames where they lie apart. */
export function objectsOf({ key, body, credential }: SegmentRecord): readonly string[] {
  return body === undefined ? [key] : [key, bodyKey(credential, body)];
}
