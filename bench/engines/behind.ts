import { setTimeout as sleep } from 'node:timers/promises';
import { openReader } from '../recording/read-back.ts';
import type { UpProcess } from '../recording/up-process.ts';

/** How far a server was at a moment, as a count of its log's bytes. */
export type Reached = { readonly atMs: number; readonly at: bigint };

/** Asks a server again and again how far it is, until it is told to end. A moment is the one before the question, or after what was written. */
export async function watchServer(
  ask: () => Promise<Reached>,
  { everyMs, done }: { readonly everyMs: number; readonly done: AbortSignal },
): Promise<readonly Reached[]> {
  const reached: Reached[] = [];
  while (!done.aborted) {
    reached.push(await ask());
    await sleep(everyMs);
  }
  return reached;
}

/**
 * After each of these moments, how long it took until the repository held all that the server had at it: by when each segment of the log was written there.
 * Infinity for what it never held. Not while `up` writes.
 */
export async function behindOf(
  up: UpProcess,
  reached: readonly Reached[],
  { store, signal }: { readonly store: string; readonly signal: AbortSignal },
): Promise<readonly number[]> {
  await using stack = new AsyncDisposableStack();
  const reader = await openReader(up, stack, { signal });
  const stored = reader.catalogue.segments
    .filter(({ history }) => history === store)
    .map(({ upTo, modifiedMs }) => ({ upTo: BigInt(upTo.order), modifiedMs }))
    .toSorted((left, right) => left.modifiedMs - right.modifiedMs);
  let from = 0;
  return reached.map(({ atMs, at }) => {
    while ((stored[from]?.upTo ?? at) < at) from++;
    return (stored[from]?.modifiedMs ?? Infinity) - atMs;
  });
}
