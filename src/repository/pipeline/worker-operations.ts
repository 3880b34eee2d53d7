import type { Transferable } from 'node:worker_threads';
import { createReadOperations } from './read-operations.ts';
import type { ReadSetup } from './read-operations.ts';
import { createStoreOperations } from './store-operations.ts';
import type { StoreSetup } from './store-operations.ts';

/**
 * What a worker is given when it starts. Each part brings its own operations: a pool of workers has those of the
 * parts that its setup has.
 */
export type WorkerSetup = {
  readonly store?: StoreSetup | undefined;
  readonly read?: ReadSetup | undefined;
};

/** What an operation gives back; `transfer` names memory that changes hands instead of being copied. */
export type OperationResult<Result> = { readonly value: Result; readonly transfer?: Transferable[] | undefined };

/**
 * Work that a worker does from start to end without waiting. The request, the notes and the result are clones. A note
 * reaches the owner while the operation goes on.
 */
export type Operation<Request, Result, Note = never> = (
  request: Request,
  note: (note: Note) => void,
) => OperationResult<Result>;

export function createOperations(setup: WorkerSetup) {
  return { ...createStoreOperations(setup.store), ...createReadOperations(setup.read) };
}

export type Operations = ReturnType<typeof createOperations>;
export type OperationName = keyof Operations;
