import type { Run } from '../../core/run.ts';
import type { BlockPlaces, ChunkGroups } from './compress-chunks.ts';
import type { Identified, Piece, WindowCut } from './piece.ts';
import type { Slot } from './slots.ts';

/** `order`: of several jobs that wait, the lowest goes first. `onCut` as for `identifyPieces`. */
export type IdentifyJob = {
  readonly slot: Slot;
  readonly order: number;
  readonly pieces: readonly Piece[];
  readonly onCut: (cut: WindowCut) => void;
};

export type CompressJob = { readonly slot: Slot; readonly order: number; readonly groups: ChunkGroups };

/**
 * Where the work of a task is done: on this thread or on others. When a call settles, its slot is no longer touched.
 */
export interface Stages {
  identify(job: IdentifyJob, run: Run): Promise<Identified>;
  compress(job: CompressJob, run: Run): Promise<BlockPlaces>;
}
