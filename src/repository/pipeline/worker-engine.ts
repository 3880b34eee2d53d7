import { must } from '../../core/must.ts';
import type { Run } from '../../core/run.ts';
import { BLOCK_HEADER_BYTES, encodeBlock } from './block.ts';
import type { ChunkSizes, CutKeys, PipelineEngine } from './engine.ts';
import { packPieces } from './packed-pieces.ts';
import { shapeOf } from './shape.ts';
import { SlotPool } from './slots.ts';
import { createStagedEngine } from './staged-engine.ts';
import type { Stages } from './stages.ts';
import { createWorkerPool } from './worker-pool.ts';
import type { WorkerPool } from './worker-pool.ts';

export type WorkerEngineOptions = {
  readonly sizes: ChunkSizes;
  readonly keys: CutKeys;
  /** Threads besides the caller's. 2 unless given. */
  readonly workers?: number | undefined;
  /** What a task holds; engines are equal only with equal capacities. 8 MiB unless given. */
  readonly capacityBytes?: number | undefined;
  /** The program of the workers, for tests of what happens when one fails. */
  readonly program?: URL | undefined;
};

/** One that is worked on and one that waits for each worker, and one that is with the sink. */
const SLOTS_PER_WORKER = 2;
const SLOTS_BESIDES = 1;
const WORKERS = 2;
/** Less than this is compressed sooner than it is sent. */
const SENT_FROM_BYTES = 64 * 1024;

/** Reads, cuts, identifies and compresses on threads of its own; claims and blocks come to the caller's thread. */
export function createWorkerEngine(options: WorkerEngineOptions): PipelineEngine {
  const { sizes, keys, workers = WORKERS, program } = options;
  const shape = shapeOf(sizes, options.capacityBytes);
  const memory = Array.from(
    { length: workers * SLOTS_PER_WORKER + SLOTS_BESIDES },
    () => new SharedArrayBuffer(shape.reserveBytes + shape.capacityBytes),
  );
  const setup = { store: { sizes, keys, slots: memory } };
  const pool = createWorkerPool({ count: workers, setup, program });
  return createStagedEngine({
    shape,
    slots: new SlotPool(memory.length, (index) => new Uint8Array(must(memory[index], 'every slot has memory'))),
    stages: stagesOn(pool),
    compress: async (chunks, run) => await compressOn(pool, chunks, run),
    close: async () => await pool[Symbol.asyncDispose](),
  });
}

function stagesOn(pool: WorkerPool): Stages {
  return {
    identify: ({ slot, order, pieces, onCut }, run) => {
      const request = { slot: slot.index, pieces: packPieces(pieces) };
      return pool.call('identify', { request, order, onNote: onCut }, run);
    },
    compress: ({ slot, order, groups }, run) => {
      return pool.call('compress', { request: { slot: slot.index, groups }, order }, run);
    },
  };
}

async function compressOn(
  pool: WorkerPool,
  chunks: readonly Uint8Array[],
  run: Run,
): Promise<{ readonly plain: Uint8Array; readonly plainBytes: number }> {
  run.signal.throwIfAborted();
  const plainBytes = chunks.reduce((sum, chunk) => sum + chunk.byteLength, 0);
  // A worker is not started for the few blocks of a run that stores no content.
  if (plainBytes < SENT_FROM_BYTES || !pool.started) return encodeBlock(chunks);
  const bytes = new Uint8Array(BLOCK_HEADER_BYTES + plainBytes);
  let at = BLOCK_HEADER_BYTES;
  for (const chunk of chunks) {
    bytes.set(chunk, at);
    at += chunk.byteLength;
  }
  const job = { request: { bytes }, order: 0, transfer: [bytes.buffer] };
  return { plain: await pool.call('encodeBlock', job, run), plainBytes };
}
