import { TidemarkError } from '../../../core/errors.ts';
import type { WalPlace } from '../lsn.ts';
import { formatHistory, historyName } from './history.ts';
import type { TimelineSwitch } from './history.ts';

/**
 * Which timelines a log has gone through. `known`: the history of the base's own timeline, where it came with it; what the log
 * tells is added for later ones.
 */
export class Timelines {
  readonly #switches: TimelineSwitch[];
  readonly #base: number;
  #last: WalPlace | undefined;

  constructor(base: number, known: readonly TimelineSwitch[] | undefined) {
    this.#base = base;
    this.#switches = [...(known ?? [])];
    this.#knowsBase = known !== undefined;
  }

  readonly #knowsBase: boolean;

  /** The log has come to this place. True when it goes on in another timeline than before. @throws REPOSITORY_DAMAGED when it goes back */
  reach(place: WalPlace): boolean {
    const last = this.#last;
    this.#last = place;
    if (last === undefined || last.timeline === place.timeline) return false;
    if (place.timeline < last.timeline) {
      throw new TidemarkError(
        'REPOSITORY_DAMAGED',
        `the log goes back from timeline ${last.timeline} to ${place.timeline}`,
      );
    }
    // What came before the base's own timeline is in its history file, if that is there.
    if (place.timeline > this.#base || !this.#knowsBase) this.#switches.push({ from: last.timeline, at: last.lsn });
    return true;
  }

  /** The history file of the timeline that was reached; undefined for one that has no history. */
  historyFile(): { readonly name: string; readonly bytes: Uint8Array } | undefined {
    const timeline = this.#last?.timeline ?? this.#base;
    if (this.#switches.length === 0) return undefined;
    return { name: historyName(timeline), bytes: formatHistory(this.#switches) };
  }
}
