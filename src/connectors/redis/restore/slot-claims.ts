import { slotOf } from '../cluster/slots.ts';
import type { SlotRange } from '../cluster/slots.ts';
import { flushedSlotOf, SLOT_MOVE, slotMoveOf } from '../cluster/slot-moves.ts';
import type { SlotMove } from '../cluster/slot-moves.ts';
import { argumentsOf, commandName } from '../commands/command-reader.ts';
import type { CommandBatch } from '../commands/command-reader.ts';

/*
 * Slots that move at once are in two streams: the target tells all their keys, and what is done to them meanwhile, beside the source; and when it has them,
 * the source deletes them. A restore takes one of the two: of a slot that has moved so by the end, only what its last target tells; and nothing of what a
 * target tells that did not get the slots, or not before the end.
 */

/** A move that was done: which shard got which slots. */
export type StagedMove = { readonly name: string; readonly shard: number; readonly ranges: readonly SlotRange[] };

/** What is passed over that deletes, from a shard that had the slot before. */
const DELETIONS: ReadonlySet<string> = new Set(['DEL', 'UNLINK']);

/** The commands of a batch that begin or end a move at once. */
export function* movesIn({ bytes, starts }: CommandBatch): Generator<SlotMove> {
  if (!bytes.includes(SLOT_MOVE)) return;
  for (const start of starts) {
    const move = commandName(bytes, start) === 'CLUSTER' ? slotMoveOf(argumentsOf(bytes, start)) : undefined;
    if (move !== undefined) yield move;
  }
}

/** Whether a slot is emptied. */
export function hasFlushedSlot({ bytes, starts }: CommandBatch): boolean {
  return starts.some(
    (start) => commandName(bytes, start) === 'CLUSTER' && flushedSlotOf(argumentsOf(bytes, start)) !== undefined,
  );
}

/** Finds the moves that were done, in the order in which that ended. */
export class MoveCollector {
  readonly #open: Map<string, readonly SlotRange[]> = new Map();
  readonly #done: StagedMove[] = [];

  get done(): readonly StagedMove[] {
    return this.#done;
  }

  take(shard: number, batch: CommandBatch): void {
    for (const move of movesIn(batch)) {
      if (move.kind === 'begun') {
        this.#open.set(move.name, move.ranges);
        continue;
      }
      const ranges = this.#open.get(move.name);
      this.#open.delete(move.name);
      if (move.hasMoved && ranges !== undefined) this.#done.push({ name: move.name, shard, ranges });
    }
  }
}

type Claim = { readonly move: StagedMove; phase: 'ahead' | 'moving' | 'over' };

/** Whose commands count for which slot. */
export class SlotClaims {
  /** Of slots that moved: by their last move. */
  readonly #claims: Map<number, Claim> = new Map();
  readonly #names: ReadonlySet<string>;
  /** Moves that are not done, by their names. */
  readonly #hidden: Map<string, { readonly shard: number; readonly ranges: readonly SlotRange[] }> = new Map();

  constructor(moves: readonly StagedMove[]) {
    this.#names = new Set(moves.map(({ name }) => name));
    for (const move of moves) {
      const claim: Claim = { move, phase: 'ahead' };
      for (const slot of slotsIn(move.ranges)) this.#claims.set(slot, claim);
    }
  }

  /** Nothing of it counts that was there before the log. */
  isAnew(key: Uint8Array): boolean {
    return this.#claims.size > 0 && this.#claims.has(slotOf(key));
  }

  /** Takes what a shard tells of a move. Returns the slots of which the shard's keys count from now on. */
  note(shard: number, move: SlotMove): readonly number[] {
    if (move.kind === 'ended') {
      this.#hidden.delete(move.name);
      for (const claim of this.#claims.values()) if (claim.move.name === move.name) claim.phase = 'over';
      return [];
    }
    if (!this.#names.has(move.name)) {
      this.#hidden.set(move.name, { shard, ranges: move.ranges });
      return [];
    }
    return slotsIn(move.ranges).filter((slot) => {
      const claim = this.#claims.get(slot);
      if (claim?.move.name !== move.name) return false;
      claim.phase = 'moving';
      return true;
    });
  }

  /** Whether a command of a shard on a key of a slot counts. */
  counts(shard: number, slot: number, name: string): boolean {
    for (const hidden of this.#hidden.values()) {
      if (hidden.shard === shard && hidden.ranges.some(([first, last]) => slot >= first && slot <= last)) return false;
    }
    const claim = this.#claims.get(slot);
    if (claim === undefined) return true;
    if (claim.phase === 'ahead') return false;
    if (claim.move.shard === shard) return true;
    if (claim.phase === 'moving' || DELETIONS.has(name)) return false;
    // Who had it before writes again: it came back in another way.
    this.#claims.delete(slot);
    return true;
  }
}

function slotsIn(ranges: readonly SlotRange[]): readonly number[] {
  return ranges.flatMap(([first, last]) => Array.from({ length: last - first + 1 }, (_, index) => first + index));
}
