import { SLOT_MOVE } from './slot-moves.ts';

/** `source`: the node from which the slots came; undefined where the beginning of the move was not seen. `at`: behind which byte of the stream it ended. */
export type EndedMove = { readonly source: string | undefined; readonly at: bigint };

/** What of a command that begins or ends a move is looked at, in the form in which Valkey writes it. */
const COMMAND =
  /SYNCSLOTS\r\n(?:\$9\r\nESTABLISH\r\n\$6\r\nSOURCE\r\n\$40\r\n([0-9a-f]{40})|\$6\r\nFINISH\r\n\$5\r\nSTATE\r\n\$\d\r\n[A-Z]+)\r\n\$4\r\nNAME\r\n\$40\r\n([0-9a-f]{40})\r\n/g;
const LONGEST_BYTES = 256;
const NOTHING = Buffer.alloc(0);

/** Which slots a shard is taking in at once, by what its stream tells of it. */
export class MoveWatch {
  /** The sources of moves that are under way, by their names. */
  readonly #open: Map<string, string> = new Map();
  #ended: readonly EndedMove[] = [];
  #tail = NOTHING;
  #at: bigint;

  /** `from`: where in the stream the first piece begins. */
  constructor(from: bigint) {
    this.#at = from;
  }

  /** A move is under way. */
  get isOpen(): boolean {
    return this.#open.size > 0;
  }

  /** Moves that have ended and were not passed yet. */
  get ended(): readonly EndedMove[] {
    return this.#ended;
  }

  /** Takes the next piece of the stream. */
  push(piece: Buffer): void {
    this.#at += BigInt(piece.byteLength);
    const border = Buffer.concat([this.#tail, piece.subarray(0, LONGEST_BYTES)]);
    if (!border.includes(SLOT_MOVE) && !piece.includes(SLOT_MOVE)) {
      this.#tail = Buffer.concat([this.#tail, piece.subarray(-LONGEST_BYTES)]).subarray(-LONGEST_BYTES);
      return;
    }
    const seen = Buffer.concat([this.#tail, piece]);
    let read = Math.max(0, seen.byteLength - LONGEST_BYTES);
    for (const match of seen.toString('latin1').matchAll(COMMAND)) {
      const [text, source, name = ''] = match;
      const end = match.index + text.length;
      if (source !== undefined) this.#open.set(name, source);
      else {
        this.#ended = [...this.#ended, { source: this.#open.get(name), at: this.#at - BigInt(seen.byteLength - end) }];
        this.#open.delete(name);
      }
      read = Math.max(read, end);
    }
    this.#tail = Buffer.from(seen.subarray(read));
  }

  /** All up to here has gone on. */
  pass(offset: bigint): void {
    if (this.#ended.length > 0) this.#ended = this.#ended.filter(({ at }) => at > offset);
  }
}
