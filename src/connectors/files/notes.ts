const KEPT = 1_000;

/** What a restore could not bring back as it was: counts all, keeps the first thousand. What is said of many things is said once. */
export class Notes {
  readonly #kept: string[] = [];
  readonly #counted = new Map<string, number>();
  #count = 0;

  /** About one thing. */
  add(note: string): void {
    this.#count++;
    if (this.#kept.length < KEPT) this.#kept.push(note);
  }

  /** About one of many: `what` is told once, with how many there were. */
  tally(what: string): void {
    this.#count++;
    this.#counted.set(what, (this.#counted.get(what) ?? 0) + 1);
  }

  get count(): number {
    return this.#count;
  }

  list(): readonly string[] {
    const tallied = [...this.#counted].map(([what, times]) => (times === 1 ? what : `${what} (${times} times)`));
    return [...tallied, ...this.#kept].slice(0, KEPT);
  }
}
