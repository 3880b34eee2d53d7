import { operatorError, TidemarkError } from '../core/errors.ts';
import { comparePositions } from '../core/position.ts';
import type { Position } from '../core/position.ts';
import type { Log, LogPiece } from '../core/recorder.ts';
import type { Clock, Run } from '../core/run.ts';
import { PayloadBuilder } from '../repository/format/log-payload.ts';
import { assertRecordable } from '../repository/transaction-size.ts';
import type { LogQueue } from './log-queue.ts';

/** A block ends at the first commit after so many bytes. */
const BLOCK_BYTES = 1024 * 1024;
/** After less than this more is waited for: each block costs a flush of the spool's disk, which the store may be on as well. */
const REST_BELOW_BYTES = 256 * 1024;
const REST_MS = 50;

/**
 * Pulls a log into a queue without end, in blocks that end at commits. `onAlive` hears of each batch, heartbeats included.
 * @throws POSITION_LOST, also where the log tells of another lineage or of too much at once; whatever the log fails with; the signal's reason
 */
export async function pumpLog(
  log: Log,
  options: { readonly queue: LogQueue; readonly clock: Clock; readonly onAlive: () => void },
  run: Run,
): Promise<void> {
  const { queue, clock, onAlive } = options;
  const block = new OpenBlock(queue.received);
  for await (const pieces of log) {
    // A log of a store to which nobody writes would go on for ever.
    run.signal.throwIfAborted();
    onAlive();
    await queue.tend(log.retention, run);
    for (const piece of pieces) {
      const isWhole = block.add(piece);
      assertRecordable(block.sizeBytes);
      if (isWhole && block.sizeBytes >= BLOCK_BYTES) await queue.put(block.take(), run);
    }
    if (!block.endsAtCommit) continue;
    const isSmall = block.sizeBytes < REST_BELOW_BYTES;
    await queue.put(block.take(), run);
    if (queue.isSpooling) log.retention?.onDisk(queue.received);
    if (isSmall) await clock.sleep(REST_MS, run);
  }
}

/** Disposed: what waits in memory goes to the disk when the log is left: so its store may forget, and the next one begin there. */
export function keptAtTheEnd(log: Log, queue: LogQueue): AsyncDisposable {
  return {
    async [Symbol.asyncDispose]() {
      try {
        await queue.keep({ signal: new AbortController().signal });
      } catch (error) {
        // The store still has it.
        if (operatorError(error, 'what waits can’t be kept') === undefined) throw error;
        return;
      }
      log.retention?.onDisk(queue.received);
    },
  };
}

class OpenBlock {
  readonly #builder = new PayloadBuilder();
  #after: Position;
  #upTo: Position;
  #fromMs: number | undefined;
  #toMs = 0;
  #changes = 0;
  #isOpen = false;

  constructor(after: Position) {
    this.#after = after;
    this.#upTo = after;
  }

  get sizeBytes(): number {
    return this.#builder.sizeBytes;
  }

  /** There is something in it, and nothing after its last commit. */
  get endsAtCommit(): boolean {
    return this.#builder.sizeBytes > 0 && !this.#isOpen;
  }

  /** Whether it may end now. A heartbeat that says nothing new leaves no trace. */
  add(piece: LogPiece): boolean {
    const { changes, commit } = piece;
    if (commit === undefined) {
      if (changes.length === 0) return false;
      this.#builder.piece(piece);
      this.#changes += changes.length;
      this.#isOpen = true;
      return false;
    }
    const order = comparePositions(commit.position, this.#upTo);
    const hasChanges = changes.length > 0 || this.#isOpen;
    if (order === undefined || order < 0 || (order === 0 && hasChanges)) {
      throw new TidemarkError('POSITION_LOST', 'the log went back, or on in another lineage', {
        disposition: 'resync',
      });
    }
    if (order === 0) return false;
    this.#builder.piece(piece);
    this.#changes += changes.length;
    this.#upTo = commit.position;
    this.#fromMs ??= commit.atMs;
    this.#toMs = Math.max(this.#toMs, commit.atMs);
    this.#isOpen = false;
    return true;
  }

  take() {
    const block = {
      pieces: this.#builder.takePieces(),
      after: this.#after,
      upTo: this.#upTo,
      fromMs: this.#fromMs ?? this.#toMs,
      toMs: this.#toMs,
      changes: this.#changes,
      packs: [],
    };
    this.#after = this.#upTo;
    this.#fromMs = undefined;
    this.#toMs = 0;
    this.#changes = 0;
    return block;
  }
}
