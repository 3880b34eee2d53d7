import type { BaseRecord, Catalogue } from '../catalogue.ts';
import type { PackDirectory } from './directories.ts';

const MOST = 20;

/** Says what can't be restored because of something damaged. */
export class Affected {
  readonly #catalogue: Catalogue;
  readonly #marksOf = new Map<string, string[]>();

  constructor(catalogue: Catalogue) {
    this.#catalogue = catalogue;
    for (const { mark } of catalogue.marks) {
      for (const base of Object.values(mark.bases)) {
        const marks = this.#marksOf.get(base) ?? [];
        this.#marksOf.set(base, marks);
        marks.push(mark.id);
      }
    }
  }

  ofBases(bases: readonly BaseRecord[]): readonly string[] {
    return bounded(bases.flatMap((base) => this.#marks(base).map((mark) => `${mark} ${base.summary.store}`)));
  }

  ofPack(pack: PackDirectory): readonly string[] {
    const id = pack.key.slice(pack.key.lastIndexOf('/') + 1);
    const bases = [...this.#catalogue.bases.values()].filter(({ credential, maintenance }) => credential === pack.credential && maintenance?.packs.includes(id));
    return this.ofBases(bases);
  }

  /** `names` as stored; shown with `/` between their components. */
  ofEntries(base: BaseRecord, names: readonly Uint8Array[]): readonly string[] {
    const store = base.summary.store;
    const shown = names.map((name) => `${store}:${Buffer.from(name).toString('utf8').replaceAll('\0', '/')}`);
    return bounded([...this.#marks(base).map((mark) => `${mark} ${store}`), ...shown]);
  }

  #marks(base: BaseRecord): readonly string[] {
    return this.#marksOf.get(base.key) ?? [];
  }
}

function bounded(texts: readonly string[]): readonly string[] {
  const unique = [...new Set(texts)];
  return unique.length <= MOST ? unique : [...unique.slice(0, MOST), `and ${unique.length - MOST} more`];
}
