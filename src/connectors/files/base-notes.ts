import type { Position } from '../../core/position.ts';
import { byteText } from './byte-text.ts';
import { knownOf } from './change-scan.ts';
import type { TimeTrust } from './fingerprint.ts';
import { NOTHING_KNOWN } from './known-state.ts';
import type { KnownState } from './known-state.ts';
import type { ScanItem } from './scan.ts';

export type NotedEnd = { readonly logFrom: Position; readonly cut: Position };

export type BaseNotesOptions = {
  readonly state: KnownState;
  /** Which folder it is: see `identityOf`. */
  readonly root: string;
  /** Set where the store is observed meanwhile: the observation that was finished last. */
  readonly logFrom?: Position | undefined;
  readonly onEnd?: (() => void) | undefined;
};

/**
 * What a base saw, so that observations can tell every difference to it. Where nothing else is observed, the base becomes what is known. Else observations go
 * on from what they know, and only have to hear of names that the base saw and they did not: one that comes and goes between two of them would stay.
 */
export class BaseNotes implements Disposable {
  readonly #options: BaseNotesOptions;
  #logFrom: Position | undefined;
  #ended = false;

  constructor(options: BaseNotesOptions) {
    this.#options = options;
    this.#logFrom = options.logFrom;
    if (this.#logFrom === undefined) options.state.beginNotes();
  }

  /** Before anything else looks at the store. */
  saw(items: readonly ScanItem[], trust: (remote: boolean) => TimeTrust): void {
    const { state } = this.#options;
    if (this.#ended || items.length === 0) return;
    state.batch(() => {
      for (const item of items) {
        if (this.#logFrom === undefined) state.note(item.found.name, knownOf(item, trust));
        else state.noteSeen(item.found.name);
      }
    });
  }

  /** It was not read as it was seen. */
  doubt(name: Uint8Array): void {
    if (!this.#ended && this.#logFrom === undefined) this.#options.state.note(byteText(name), NOTHING_KNOWN);
  }

  /** The store is observed from now on, from a position before the base began. */
  goOnObserved(after: Position): void {
    this.#options.state.leaveNotes();
    this.#logFrom = after;
  }

  finish(cut: Position): NotedEnd {
    const { state, root } = this.#options;
    if (this.#logFrom === undefined) state.finishNotes(cut, root);
    else state.addPosition(cut);
    this[Symbol.dispose]();
    return { logFrom: this.#logFrom ?? cut, cut };
  }

  [Symbol.dispose](): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#options.onEnd?.();
  }
}
