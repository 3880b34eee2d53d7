import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { openEmbedded } from '../connectors/embedded/connector.ts';
import type { Clock } from '../core/run.ts';
import { ITEMS } from './shop.ts';
import type { Shop } from './shop.ts';

/** What an operator did to the shop while it was open, and when. */
export type Mistake = {
  readonly begunMs: number;
  readonly doneMs: number;
  /** Keys of orders. */
  readonly deleted: ReadonlySet<string>;
  /** Names below the uploads. */
  readonly overwritten: ReadonlySet<string>;
};

export const WRONG_PRICE = '0.00';
export const WRONG_PICTURE = Buffer.from('thumbnail');

/** Was to delete every tenth order, as old ones, to lower one price, and to make a thumbnail of what is old. */
export function cleanUp(shop: Shop, clock: Clock): Mistake {
  const begunMs = clock.nowMs();
  const deleted = new Set<string>();
  const overwritten = new Set<string>();
  using orders = openEmbedded(shop.orders, { mustExist: true });
  orders.transaction((transaction) => {
    const keys = Array.from(transaction.range({ prefix: 'order/' }), ({ key }) => Buffer.from(key).toString());
    for (const key of keys.filter((each) => !each.endsWith('0'))) {
      transaction.delete(key);
      deleted.add(key);
    }
  });
  using catalog = openEmbedded(shop.catalog, { mustExist: true });
  catalog.transaction((transaction) => {
    for (const item of ITEMS) transaction.put(`price/${item}`, WRONG_PRICE);
  });
  for (const name of readdirSync(join(shop.uploads, 'orders')).filter((each) => each.endsWith('.jpg'))) {
    writeFileSync(join(shop.uploads, 'orders', name), WRONG_PICTURE);
    overwritten.add(`orders/${name}`);
  }
  return { begunMs, doneMs: clock.nowMs(), deleted, overwritten };
}
