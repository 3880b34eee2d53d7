/** Something that is not as it must be. `affects`: marks, stores and names that can't be restored because of it; none when nothing is lost. */
export type Damage = {
  /** The key of an object, or what is missing. */
  readonly object: string;
  readonly kind: string;
  readonly message: string;
  readonly affects: readonly string[];
};

/** What was found of one object. `base`: the manifest of a base, or the record of a segment, that loses something by it. */
export type FoundDamage = Omit<Damage, 'affects'> & {
  readonly base?: string | undefined;
  readonly marks?: readonly string[] | undefined;
  readonly names?: readonly string[] | undefined;
};

const OBJECTS_KEPT = 1000;
const TEXTS_KEPT = 20;

/** The first texts, each once. */
class Texts {
  readonly #kept = new Set<string>();
  #hasMore = false;

  add(texts: readonly string[]): void {
    for (const text of texts) {
      if (this.#kept.has(text)) continue;
      if (this.#kept.size < TEXTS_KEPT) this.#kept.add(text);
      else this.#hasMore = true;
    }
  }

  list(what: string): readonly string[] {
    return this.#hasMore ? [...this.#kept, `and more ${what}`] : [...this.#kept];
  }
}

type Item = Omit<Damage, 'affects'> & { readonly bases: Set<string>; readonly marks: Texts; readonly names: Texts };

/** Collects damage, one item an object. Memory is bounded: beyond a thousand objects they are only counted. */
export class DamageList {
  readonly #items = new Map<string, Item>();
  #uncounted = 0;

  /** The first message of an object stays; it need not begin with the object. */
  add({ object, kind, message, base, marks = [], names = [] }: FoundDamage): void {
    const said = `${object} is damaged: `;
    const short = message.startsWith(said) ? message.slice(said.length) : message;
    const item = this.#items.get(object) ?? this.#create({ object, kind, message: short });
    if (item === undefined) return;
    if (base !== undefined) item.bases.add(base);
    item.marks.add(marks);
    item.names.add(names);
  }

  has(object: string): boolean {
    return this.#items.has(object);
  }

  /** Whether some of it makes bases lose something. */
  get concernsBases(): boolean {
    return this.#items.values().some(({ bases }) => bases.size > 0);
  }

  /** Drops what only concerns bases and segments that are not needed any more. */
  keepBases(isNeeded: (base: string) => boolean): void {
    for (const [object, { bases }] of this.#items) {
      if (bases.size > 0 && ![...bases].some(isNeeded)) this.#items.delete(object);
    }
  }

  list(): readonly Damage[] {
    const listed = [...this.#items.values()].map(({ object, kind, message, marks, names }) => ({
      object,
      kind,
      message,
      affects: [...marks.list('marks'), ...names.list('entries')],
    }));
    if (this.#uncounted === 0) return listed;
    const message = `${this.#uncounted} more findings are not listed`;
    return [...listed, { object: 'the repository', kind: 'more', message, affects: [] }];
  }

  #create(damage: Omit<Damage, 'affects'>): Item | undefined {
    if (this.#items.size >= OBJECTS_KEPT) {
      this.#uncounted += 1;
      return undefined;
    }
    const item = { ...damage, bases: new Set<string>(), marks: new Texts(), names: new Texts() };
    this.#items.set(damage.object, item);
    return item;
  }
}
