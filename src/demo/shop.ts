import { createHash } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { openEmbedded } from '../connectors/embedded/connector.ts';
import { createSeededRandom } from '../flow/random.ts';

/** A shop in a folder: what it sells, what was ordered, and a picture that came with each order. */
export type Shop = {
  readonly folder: string;
  readonly data: string;
  readonly catalog: string;
  readonly orders: string;
  readonly uploads: string;
  /** There while no orders are to be taken. */
  readonly closed: string;
  /** There while none are taken. */
  readonly idle: string;
};

export const ITEMS: readonly string[] =
  'anchor beacon bollard buoy chart compass dinghy drogue fender flag grapnel helm jib kayak keel lantern line log mast oar paddle pennant pulley rope rudder sail sextant shackle spar tiller winch yoke'.split(
    ' ',
  );
const LEAST_PICTURE_BYTES = 2_000;
const PICTURE_RANGE_BYTES = 30_000;
const PICTURES_OF_ITEM = 8;
/** The last number of orders. */
export const LAST_ORDER = 'last-order';

export function shopIn(folder: string): Shop {
  const data = join(folder, 'data');
  return {
    folder,
    data,
    catalog: join(data, 'catalog.db'),
    orders: join(data, 'orders.db'),
    uploads: join(data, 'uploads'),
    closed: join(folder, 'closed'),
    idle: join(folder, 'idle'),
  };
}

/** Before the first order. */
export function buildShop(shop: Shop): void {
  for (const part of ['items', 'orders']) mkdirSync(join(shop.uploads, part), { recursive: true });
  for (const [name, content] of itemPictures()) writeFileSync(join(shop.uploads, name), content);
  using catalog = openEmbedded(shop.catalog);
  catalog.transaction((transaction) => {
    for (const item of ITEMS) transaction.put(`price/${item}`, priceOf(item));
  });
  using _orders = openEmbedded(shop.orders);
  writeFileSync(join(shop.folder, 'tidemark.yaml'), manifestOf(shop));
  writeFileSync(doorOf(shop), DOOR);
}

/** The first store refers to the second and that one to the files, so they are read in this order, and written in the other one. */
export function manifestOf(shop: Shop): string {
  const door = doorOf(shop);
  return `application: shop
repository: ../backups
marks: { every: 1s }
stores:
  catalog: { url: embedded:./data/catalog.db, references: [orders] }
  orders: { url: embedded:./data/orders.db, references: [uploads] }
  uploads:
    url: files:./data/uploads
    exclude: ['*.part']
    seal:
      pause: [sh, ${door}, close]
      resume: [sh, ${door}, open]
`;
}

function doorOf({ folder }: Shop): string {
  return join(folder, 'door');
}

/** Closing is done when the shop has finished the order that it is at. */
const DOOR = `cd "\${0%/*}" || exit 1
case $1 in
close) : >closed; until [ -e idle ]; do sleep 0.02; done ;;
open) rm -f closed ;;
esac
`;

export type Order = {
  readonly item: string;
  readonly key: string;
  readonly value: string;
  /** Below the uploads. */
  readonly pictureName: string;
  readonly picture: Uint8Array;
};

/** Each order is what its number says, so that what is restored can be held against it. Numbers begin at 1. */
export function orderOf(number: number): Order {
  const random = createSeededRandom(`order ${number}`);
  const item = random.pick(ITEMS);
  const digits = String(number).padStart(6, '0');
  const pictureName = `orders/${digits}.jpg`;
  const picture = random.bytes(LEAST_PICTURE_BYTES + random.integer(PICTURE_RANGE_BYTES));
  const sha256 = digestOf(picture);
  return {
    item,
    key: `order/${digits}`,
    value: JSON.stringify({ number, item, picture: pictureName, sha256 }),
    pictureName,
    picture,
  };
}

/** By name below the uploads. */
export function* itemPictures(): Generator<readonly [name: string, content: Uint8Array]> {
  const random = createSeededRandom('items');
  for (const item of ITEMS) {
    for (let number = 1; number <= PICTURES_OF_ITEM; number++) {
      yield [`items/${item}-${number}.jpg`, random.bytes(LEAST_PICTURE_BYTES + random.integer(PICTURE_RANGE_BYTES))];
    }
  }
}

export function priceOf(item: string): string {
  return `${item.length * 7}.50`;
}

export function digestOf(content: Uint8Array): string {
  return createHash('sha256').update(content).digest('hex');
}
