import type { ByteText } from './byte-text.ts';
import type { KnownName, KnownState } from './known-state.ts';

/** All that is known below a folder, beside a walk of it in the order of names: what the walk does not find is gone. */
export class KnownBelow {
  readonly folder: ByteText;
  readonly #state: Pick<KnownState, 'below'>;
  readonly #onGone: (known: KnownName) => void;
  #rows: readonly KnownName[] = [];
  #next = 0;
  #last: ByteText;
  #atEnd = false;

  constructor(folder: ByteText, state: Pick<KnownState, 'below'>, onGone: (known: KnownName) => void) {
    this.folder = folder;
    this.#state = state;
    this.#onGone = onGone;
    this.#last = folder;
  }

  /** What is known of a name that was found. */
  take(name: ByteText): KnownName | undefined {
    this.#goTo(name);
    const row = this.#head();
    if (row?.name !== name) return undefined;
    this.#next++;
    return row;
  }

  /** What is known of a name, if it is not taken yet, and of what lies below it, stays: nobody can see it. */
  pass(name: ByteText): void {
    this.#goTo(name);
    const inside = `${name}\0`;
    for (let row = this.#head(); row !== undefined; row = this.#head()) {
      if (row.name !== name && !row.name.startsWith(inside)) return;
      this.#next++;
    }
  }

  finish(): void {
    this.#goTo(undefined);
  }

  #goTo(name: ByteText | undefined): void {
    for (let row = this.#head(); row !== undefined; row = this.#head()) {
      if (name !== undefined && row.name >= name) return;
      this.#onGone(row);
      this.#next++;
    }
  }

  #head(): KnownName | undefined {
    if (this.#next === this.#rows.length && !this.#atEnd) {
      this.#rows = this.#state.below(this.folder, this.#last);
      this.#next = 0;
      this.#last = this.#rows.at(-1)?.name ?? this.#last;
      this.#atEnd = this.#rows.length === 0;
    }
    return this.#rows[this.#next];
  }
}
