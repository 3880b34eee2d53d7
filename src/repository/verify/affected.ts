import type { BaseRecord, Catalogue } from '../catalogue.ts';
import { basesByHistory } from '../log-needs.ts';
import { entryText } from '../entry-text.ts';

/** Says what can't be restored because of something damaged. */
export class Affected {
  readonly #marksOf = new Map<string, string[]>();

  constructor(catalogue: Catalogue) {
    for (const signed of catalogue.marks) {
      const { mark } = signed;
      for (const [history, base] of basesByHistory(catalogue, signed)) {
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

  entriesOf({ summary }: BaseRecord, names: readonly LostNames[]): readonly string[] {
    return names.map(({ first, count }) => {
      const text = `${summary.store}:${entryText(first)}`;
      return count === undefined ? text : `${text} and what follows, ${count} entries`;
    });
  }
}

/** One entry, or `count` entries from `first` on. */
export type LostNames = { readonly first: Uint8Array; readonly count?: number | undefined };
