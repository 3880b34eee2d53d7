import { TidemarkError } from '../../../core/errors.ts';
import type { LogReader } from '../../../core/restorer.ts';
import type { Run } from '../../../core/run.ts';
import { must } from '../../../core/must.ts';
import { placeOf } from '../lsn.ts';
import type { WalPlace } from '../lsn.ts';
import { formatHistory, historyName } from './history.ts';
import type { TimelineSwitch } from './history.ts';

export type HistoryFile = { readonly name: string; readonly bytes: Uint8Array };

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
  historyFile(): HistoryFile | undefined {
    const timeline = this.#last?.timeline ?? this.#base;
    if (this.#switches.length === 0) return undefined;
    return { name: historyName(timeline), bytes: formatHistory(this.#switches) };
  }
}

/**
 * The history file of the timeline in which a log ends: a server wants it before it reads any of that log. Reads the log up to where that timeline begins.
 * Undefined where the log stays in the base's own one.
 */
export async function historyAhead(
  log: LogReader,
  { timelines, from, to }: { readonly timelines: Timelines; readonly from: number; readonly to: number },
  run: Run,
): Promise<HistoryFile | undefined> {
  if (from === to) return undefined;
  for await (const batch of log.read(run)) {
    for (const { commit } of batch) {
      const place = must(placeOf(commit.position), 'a place in the log of a PostgreSQL server');
      timelines.reach(place);
      if (place.timeline === to) return timelines.historyFile();
    }
  }
  return undefined;
}
