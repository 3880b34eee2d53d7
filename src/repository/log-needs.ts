import { own } from '../core/own.ts';
import type { Position } from '../core/position.ts';
import type { BaseRecord, Catalogue, MarkRecord } from './catalogue.ts';
import { bodyKey } from './format/names.ts';
import type { Goal, SegmentRecord } from './log-view.ts';

type Known = Pick<Catalogue, 'bases' | 'histories'>;

/** A mark with who signed it. */
export type SignedMark = Pick<MarkRecord, 'mark' | 'credential'>;

/** Where a mark finds a history. `base`: the key of the one that it names there. */
export type MarkedPlace = Goal & { readonly base?: string | undefined };

/** Undefined where it says nothing of that history. */
export function placeIn({ mark, credential }: SignedMark, history: string): MarkedPlace | undefined {
  const position = own(mark.positions, history);
  return position && { position, credential, floor: own(mark.floors, history), base: own(mark.bases, history) };
}

/** The base that such a place stands on: what is named, or where a log leads there, the one from which it does. Undefined where that is not there. */
export function baseOf(
  { bases, histories }: Known,
  history: string,
  { base, ...goal }: MarkedPlace,
): BaseRecord | undefined {
  return base === undefined ? histories.get(history)?.baseFor(goal) : bases.get(base);
}

/** By history, the key of the base that a mark stands on, also of one that it names and that is not there. */
export function basesByHistory(known: Known, signed: SignedMark): ReadonlyMap<string, string> {
  const found = new Map(Object.entries(signed.mark.bases));
  for (const history of Object.keys(signed.mark.positions)) {
    const place = found.has(history) ? undefined : placeIn(signed, history);
    const base = place && baseOf(known, history, place);
    if (base !== undefined) found.set(history, base.key);
  }
  return found;
}

/** Keys of the bases that marks stand on. */
export function basesOfMarks(marks: readonly Pick<MarkRecord, 'standsOn'>[]): ReadonlySet<string> {
  return new Set(marks.flatMap(({ standsOn }) => [...standsOn.values()]));
}

/**
 * The segments that lead to the positions of these marks, and of each base in `ends` as far as its log goes: what is recorded next follows on them.
 * Where their writer may take one back, also those that lead there without it.
 */
export function neededSegments(
  known: Known,
  options: { readonly marks: readonly MarkRecord[]; readonly ends: Iterable<BaseRecord> },
): ReadonlySet<SegmentRecord> {
  const { bases, histories } = known;
  const wanted = new Map<BaseRecord, Position[]>();
  const need = (base: BaseRecord | undefined, position: Position | undefined): void => {
    if (base === undefined || position === undefined) return;
    const positions = wanted.get(base);
    if (positions === undefined) wanted.set(base, [position]);
    else positions.push(position);
  };
  for (const { mark, standsOn } of options.marks) {
    for (const [history, key] of standsOn) need(bases.get(key), own(mark.positions, history));
  }
  for (const base of options.ends) need(base, histories.get(base.summary.history)?.reachOf(base));
  const needed = new Set<SegmentRecord>();
  for (const [base, positions] of wanted) {
    const view = histories.get(base.summary.history);
    if (view === undefined) continue;
    const furthest = positions.reduce((left, right) => (right.order > left.order ? right : left));
    const cover = view.segmentsFrom(base, furthest);
    // Where places are counts, any cover tells of all that lie on its way.
    const isCounted = base.summary.exact === 'observation';
    const used = isCounted ? [...cover, ...view.deadEnds(base, { positions, cover })] : cover;
    for (const segment of [...used, ...view.withoutUnsure(base, used)]) needed.add(segment);
  }
  return needed;
}

/** The objects that a segment needs besides its packs: its record, and its frames where they lie apart. */
export function objectsOf({ key, body, credential }: SegmentRecord): readonly string[] {
  return body === undefined ? [key] : [key, bodyKey(credential, body)];
}
