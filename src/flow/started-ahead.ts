import { must } from '../core/must.ts';

/**
 * The items in order, each with its work, which begins once the item so many places before it is pulled. What fails is thrown to whoever awaits it,
 * and to nobody where nobody does.
 */
export function* startedAhead<Item, Result>(
  items: readonly Item[],
  ahead: number,
  work: (item: Item) => Promise<Result>,
): Generator<{ readonly item: Item; readonly result: Promise<Result> }> {
  const begun: Promise<Result>[] = [];
  for (const [index, item] of items.entries()) {
    while (begun.length <= ahead && index + begun.length < items.length) {
      const result = work(must(items[index + begun.length], 'an item'));
      // Whoever waits for it hears of it; until then nobody does.
      result.catch(() => undefined);
      begun.push(result);
    }
    yield { item, result: must(begun.shift(), 'work that has begun') };
  }
}
