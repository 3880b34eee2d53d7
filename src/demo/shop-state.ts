import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { openEmbedded } from '../connectors/embedded/connector.ts';
import { TidemarkError } from '../core/errors.ts';
import { WRONG_PICTURE, WRONG_PRICE } from './mistake.ts';
import type { Mistake } from './mistake.ts';
import type { Sale } from './open-shop.ts';
import { digestOf, itemPictures, ITEMS, LAST_ORDER, orderOf, priceOf } from './shop.ts';
import type { Shop } from './shop.ts';

/** The number of the last order, as each store knows it. */
export type Counters = { readonly catalog: number; readonly orders: number; readonly uploads: number };

/** All that the three stores hold: by store and key the value, of a picture its digest. */
export type ShopState = { readonly counters: Counters; readonly holds: ReadonlyMap<string, string> };

/** What the shop's own log says of a moment: what was in all stores before it, and what can't have been in any. */
export type Expected = {
  readonly sales: readonly Sale[];
  readonly mark: { readonly at: string; readonly skewMs: number };
  /** What was done to the stores by then. */
  readonly mistake?: Mistake | undefined;
};

/** Reads everything, by ways of its own, so that a comparison proves more than that Tidemark agrees with itself. */
export function readShop({ catalog, orders, uploads }: Pick<Shop, 'catalog' | 'orders' | 'uploads'>): ShopState {
  const holds = new Map<string, string>();
  for (const [store, path] of [['catalog', catalog] as const, ['orders', orders] as const]) {
    using opened = openEmbedded(path, { mustExist: true });
    for (const { key, value } of opened.range()) {
      holds.set(`${store} ${Buffer.from(key).toString()}`, Buffer.from(value).toString());
    }
  }
  for (const entry of readdirSync(uploads, { recursive: true, withFileTypes: true })) {
    if (entry.isDirectory()) continue;
    const path = join(entry.parentPath, entry.name);
    holds.set(`uploads ${path.slice(uploads.length + 1)}`, digestOf(readFileSync(path)));
  }
  return { counters: countersOf(holds), holds };
}

function countersOf(holds: ReadonlyMap<string, string>): Counters {
  const lastOf = (beginning: string): number => {
    const numbers = [...holds.keys()].filter((key) => key.startsWith(beginning));
    return numbers.reduce((last, key) => Math.max(last, Number.parseInt(key.slice(beginning.length), 10)), 0);
  };
  return {
    catalog: Number(holds.get(`catalog ${LAST_ORDER}`) ?? 0),
    orders: lastOf('orders order/'),
    uploads: lastOf('uploads orders/'),
  };
}

/** @throws RESTORE_FAILED, naming what is not as it was at the mark by the shop's own log */
export function compareShop({ counters, holds }: ShopState, { sales, mark, mistake }: Expected): void {
  const { catalog, orders, uploads } = counters;
  // What refers to others is read before them, and written after them.
  if (catalog > orders || orders > uploads) throw notAsItWas(`${catalog}, ${orders}, ${uploads}: the counters`);
  const atMs = Date.parse(mark.at);
  const before = sales.findLast(({ doneMs }) => doneMs < atMs - mark.skewMs)?.number ?? 0;
  const after = sales.find(({ begunMs }) => begunMs > atMs)?.number ?? Infinity;
  if (catalog < before || uploads >= after) {
    throw notAsItWas(`${catalog} and ${uploads}, not from ${before} to before ${after}: the last order`);
  }
  const expected = expectedHolds(counters, mistake);
  for (const key of new Set([...expected.keys(), ...holds.keys()])) {
    if (expected.get(key) !== holds.get(key)) throw notAsItWas(key);
  }
}

function notAsItWas(what: string): TidemarkError {
  return new TidemarkError('RESTORE_FAILED', `${what} is not as it was at that moment`);
}

/** What the shop has written up to these orders, with what a mistake did to it. */
function expectedHolds({ catalog, orders, uploads }: Counters, mistake: Mistake | undefined): Map<string, string> {
  const holds = new Map<string, string>();
  for (const item of ITEMS) holds.set(`catalog price/${item}`, mistake === undefined ? priceOf(item) : WRONG_PRICE);
  for (const [name, content] of itemPictures()) holds.set(`uploads ${name}`, digestOf(content));
  if (catalog > 0) holds.set(`catalog ${LAST_ORDER}`, String(catalog));
  for (let number = 1; number <= uploads; number++) {
    const { item, key, value, pictureName, picture } = orderOf(number);
    const isOverwritten = mistake?.overwritten.has(pictureName) === true;
    holds.set(`uploads ${pictureName}`, digestOf(isOverwritten ? WRONG_PICTURE : picture));
    if (number <= orders && mistake?.deleted.has(key) !== true) holds.set(`orders ${key}`, value);
    const sold = `catalog sold/${item}`;
    if (number <= catalog) holds.set(sold, String(Number(holds.get(sold) ?? 0) + 1));
  }
  return holds;
}
