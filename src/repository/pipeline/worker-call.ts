import type { ThreadError } from './thread-error.ts';
import type { OperationName } from './worker-operations.ts';

/** What the pool sends to a worker. */
export type WorkerCall = { readonly id: number; readonly name: OperationName; readonly request: unknown };

/** What it gets back for each call: notes, then one of the others. */
export type WorkerReply =
  | { readonly id: number; readonly kind: 'note'; readonly value: unknown }
  | { readonly id: number; readonly kind: 'result'; readonly value: unknown }
  | { readonly id: number; readonly kind: 'error'; readonly error: ThreadError };
