import { must } from '../../core/must.ts';
import type { Run } from '../../core/run.ts';
import { openScope } from '../../flow/scope.ts';

export type WindowOptions<Item, Result> = {
  /** At most so many at once. */
  readonly count: number;
  /** Together no more than this, except for a single one that is larger. */
  readonly bytes: number;
  readonly sizeOf: (item: Item) => number;
  readonly fetch: (item: Item, run: Run) => Promise<Result>;
};

/** The results of `fetch` in the order of the items. What is fetched or waits to be taken stays within the window. */
export async function* fetchInOrder<Item, Result>(
  items: Iterable<Item>,
  { count, bytes, sizeOf, fetch }: WindowOptions<Item, Result>,
  run: Run,
): AsyncGenerator<Result> {
  await using scope = openScope(run);
  const queue: { readonly sizeBytes: number; readonly result: Promise<Result> }[] = [];
  let heldBytes = 0;
  for (const item of items) {
    const sizeBytes = sizeOf(item);
    while (queue.length > 0 && (queue.length >= count || heldBytes + sizeBytes > bytes)) {
      const first = must(queue.shift(), 'a queue that is not empty');
      yield await first.result;
      heldBytes -= first.sizeBytes;
    }
    heldBytes += sizeBytes;
    queue.push({ sizeBytes, result: scope.spawn((inner) => fetch(item, inner)) });
  }
  for (const { result } of queue) yield await result;
  await scope.join();
}
