import type { Skipped, SkipReason } from '../../core/recorder.ts';
import { bytesOf } from './byte-text.ts';
import type { ByteText } from './byte-text.ts';

const KEPT = 1_000;

/** Reasons that make a base incomplete; the others are only told. */
const INCOMPLETE: ReadonlySet<SkipReason> = new Set(['unreadable', 'changed', 'too-long']);

/** What a scan left out. Counts all; keeps the first thousand, incomplete ones before the rest. */
export class SkippedList {
  readonly #incomplete: Skipped[] = [];
  readonly #told: Skipped[] = [];
  #incompleteCount = 0;
  #toldCount = 0;

  add(name: ByteText, reason: SkipReason, message: string): void {
    const incomplete = INCOMPLETE.has(reason);
    const kept = incomplete ? this.#incomplete : this.#told;
    if (incomplete) this.#incompleteCount++;
    else this.#toldCount++;
    if (kept.length < KEPT) kept.push({ name: bytesOf(name), reason, incomplete, message });
  }

  get incompleteCount(): number {
    return this.#incompleteCount;
  }

  get count(): number {
    return this.#incompleteCount + this.#toldCount;
  }

  list(): readonly Skipped[] {
    return [...this.#incomplete, ...this.#told].slice(0, KEPT);
  }
}
