import { TidemarkError } from '../core/errors.ts';
import { comparePositions, isSamePlace } from '../core/position.ts';
import type { Position } from '../core/position.ts';
import type { WrittenBase } from '../repository/writer.ts';

/** What of a history can be restored since it began to be recorded: from which base its log goes on. Another history has another one. */
export class Reach {
  #hasBase: boolean;
  /** Nothing before it can be restored; undefined where more of it is in the repository. */
  #from: Position | undefined;
  #logFrom: Position | undefined;
  #begun: Position | undefined;

  /** `hasBase`: the repository has one that the log goes on from, but for places before `from`. */
  constructor(hasBase: boolean, from?: Position) {
    this.#hasBase = hasBase;
    this.#from = from;
  }

  get hasBase(): boolean {
    return this.#hasBase;
  }

  /** Where the log begins that the newest base noted here needs. */
  get logFrom(): Position | undefined {
    return this.#logFrom;
  }

  /** Where the log begins that is recorded, of a history that began here. */
  get begun(): Position | undefined {
    return this.#begun;
  }

  begin(position: Position): void {
    this.#begun = position;
  }

  /** @throws POSITION_LOST for a first base that would never be restored: it needs log from before what is recorded */
  noteBase({ cut, stored }: WrittenBase): void {
    const { logFrom } = stored.end;
    if (!this.#hasBase) {
      this.#assertJoined(stored.end);
      this.#from = cut;
    }
    this.#hasBase = true;
    this.#logFrom = logFrom;
  }

  /** Whether a base leads there once the log does. */
  isRestorable(position: Position): boolean {
    const from = this.#from;
    if (!this.#hasBase || from === undefined) return this.#hasBase;
    return isSamePlace(position, from) || (comparePositions(position, from) ?? -1) > 0;
  }

  #assertJoined({ logFrom, cut }: WrittenBase['stored']['end']): void {
    const begun = this.#begun;
    if (begun === undefined || isSamePlace(logFrom, cut) || (comparePositions(logFrom, begun) ?? 0) >= 0) return;
    throw new TidemarkError(
      'POSITION_LOST',
      `its base needs log from ${logFrom.resume} on, and what is recorded begins at ${begun.resume}`,
      { disposition: 'resync' },
    );
  }
}
