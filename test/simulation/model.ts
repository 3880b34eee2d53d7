/** What a base was made of: content by name. */
export type BaseContent = ReadonlyMap<string, Uint8Array>;

export type CommittedMark = {
  readonly id: string;
  /** Manifests by history. */
  readonly bases: Readonly<Record<string, string>>;
  readonly isNamed: boolean;
};

/** What the simulated operators were told: success of a backup, of a pin; and what they asked to be given up. */
export class Model {
  /** Of each base that was said to be committed, by its manifest's key. */
  readonly contents = new Map<string, BaseContent>();
  readonly #marks = new Map<string, CommittedMark>();
  readonly #attempted = new Set<string>();
  readonly #givenUp = new Set<string>();
  readonly #pinned = new Set<string>();
  readonly #unpinned = new Set<string>();
  #pinsBegun = 0;
  #pinsUnderWay = 0;

  get markCount(): number {
    return this.#marks.size;
  }

  /** Success was said. */
  commit(mark: CommittedMark): void {
    this.attempt(mark.id);
    this.#marks.set(mark.id, mark);
  }

  /** A mark may be there from now on, whether that will be said or not. */
  attempt(id: string): void {
    this.#attempted.add(id);
  }

  /** Retention failed: it may have taken any mark that was there. */
  giveUpAny(): void {
    this.giveUp(this.#attempted);
  }

  /** Retention may have taken these, whether it said so or not. */
  giveUp(ids: Iterable<string>): void {
    for (const id of ids) this.#givenUp.add(id);
  }

  pin(id: string): void {
    this.#pinned.add(id);
  }

  /** Called before it is tried. */
  unpin(id: string): void {
    this.#pinned.delete(id);
  }

  /** Whoever pins or unpins: says in the end whether nobody else pinned meanwhile. */
  beginPinning(): { readonly isAlone: () => boolean; readonly end: () => void } {
    const isFirst = this.#pinsUnderWay === 0;
    const own = ++this.#pinsBegun;
    this.#pinsUnderWay++;
    return { isAlone: () => isFirst && this.#pinsBegun === own, end: () => this.#pinsUnderWay-- };
  }

  /** Success was said. */
  unpinned(id: string): void {
    this.#unpinned.add(id);
  }

  /** Called before it is tried. */
  mayPin(id: string): void {
    this.#unpinned.delete(id);
  }

  /** Marks that no pin may hold any more. */
  get free(): ReadonlySet<string> {
    return this.#unpinned;
  }

  /** Marks that must be there, whole. */
  get owed(): readonly CommittedMark[] {
    return [...this.#marks.values()].filter(
      ({ id, isNamed }) => isNamed || this.#pinned.has(id) || !this.#givenUp.has(id),
    );
  }
}
