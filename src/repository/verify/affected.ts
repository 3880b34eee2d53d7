import { own } from '../../core/own.ts';
import type { Catalogue } from '../catalogue.ts';
import { entryText } from '../entry-text.ts';
import type { SegmentRecord } from '../log-view.ts';
import type { ManifestSummary } from '../records/bodies.ts';

/** So many are told of one object, and that there are more. */
const SOME_MARKS = 30;

/** Says what can't be restored because of something damaged. */
export class Affected {
  readonly #catalogue: Catalogue;
  readonly #marksOf = new Map<string, string[]>();
  readonly #onSegment = new Map<SegmentRecord, readonly string[]>();

  constructor(catalogue: Catalogue) {
    this.#catalogue = catalogue;
    for (const { mark, standsOn } of catalogue.marks) {
      for (const [history, base] of standsOn) {
        const store = catalogue.bases.get(base)?.summary.store ?? history;
        const marks = this.#marksOf.get(base) ?? [];
        this.#marksOf.set(base, marks);
        marks.push(`${mark.id} ${store}`);
      }
    }
  }

  /** `MARK STORE` for each mark that has the base. `key` is its manifest's. */
  marksOf(key: string): readonly string[] {
    return this.#marksOf.get(key) ?? [];
  }

  /** As `marksOf`, of marks whose position is reached by that segment; of many only some. */
  marksOn(segment: SegmentRecord): readonly string[] {
    const known = this.#onSegment.get(segment) ?? [...this.#standingOn(segment).take(SOME_MARKS)];
    this.#onSegment.set(segment, known);
    return known;
  }

  *#standingOn(segment: SegmentRecord): Generator<string> {
    const { history, after, store } = segment;
    const { marks, bases, histories } = this.#catalogue;
    for (const { mark, standsOn } of marks) {
      const position = own(mark.positions, history);
      if (position?.lineage !== after.lineage || position.order <= after.order) continue;
      const base = bases.get(standsOn.get(history) ?? '');
      const segments = base && histories.get(history)?.segmentsFrom(base, position);
      if (segments?.includes(segment) === true) yield `${mark.id} ${store}`;
    }
  }

  entriesOf({ store }: Pick<ManifestSummary, 'store'>, names: readonly LostNames[]): readonly string[] {
    return names.map(({ first, count }) => {
      const text = `${store}:${entryText(first)}`;
      return count === undefined ? text : `${text} and what follows, ${count} entries`;
    });
  }
}

/** One entry, or `count` entries from `first` on. */
export type LostNames = { readonly first: Uint8Array; readonly count?: number | undefined };
