import { existsSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parentPort, workerData } from 'node:worker_threads';
import { openEmbedded } from '../connectors/embedded/connector.ts';
import type { EmbeddedStore } from '../connectors/embedded/connector.ts';
import { must } from '../core/must.ts';
import type { Run } from '../core/run.ts';
import { createSystemClock } from '../flow/clock.ts';
import type { Sale } from './open-shop.ts';
import { LAST_ORDER, orderOf } from './shop.ts';
import type { Shop } from './shop.ts';

/** The shop's own program: it knows nothing of backups, except that it can be told to close for a moment. */

const BETWEEN_ORDERS_MS = 25;
const CLOSED_MS = 10;

const port = must(parentPort, 'this file runs in a worker');
// Whoever starts it gives it this.
const shop = workerData as Shop;
const clock = createSystemClock();
const end = new AbortController();
port.once('message', () => end.abort(new Error('the shop ends')));

await takeOrders({ signal: end.signal });
port.close();

async function takeOrders(run: Run): Promise<void> {
  using catalog = openEmbedded(shop.catalog, { mustExist: true });
  using orders = openEmbedded(shop.orders, { mustExist: true });
  try {
    for (let number = 1; ; number++) {
      await untilOpen(run);
      const begunMs = clock.nowMs();
      takeOrder(number, { catalog, orders });
      port.postMessage({ number, begunMs, doneMs: clock.nowMs() } satisfies Sale);
      await clock.sleep(BETWEEN_ORDERS_MS, run);
    }
  } catch (error) {
    if (!run.signal.aborted) throw error;
  }
}

/** What is referred to is written before what refers to it. */
function takeOrder(
  number: number,
  { catalog, orders }: { readonly catalog: EmbeddedStore; readonly orders: EmbeddedStore },
): void {
  const { item, key, value, pictureName, picture } = orderOf(number);
  const path = join(shop.uploads, pictureName);
  writeFileSync(`${path}.part`, picture);
  renameSync(`${path}.part`, path);
  orders.put(key, value);
  catalog.transaction((transaction) => {
    transaction.put(`sold/${item}`, String(Number(transaction.getText(`sold/${item}`) ?? 0) + 1));
    transaction.put(LAST_ORDER, String(number));
  });
}

/** Who closes the shop again just now sees it idle still, so it has to stay so. */
async function untilOpen(run: Run): Promise<void> {
  do {
    while (existsSync(shop.closed)) {
      writeFileSync(shop.idle, '');
      await clock.sleep(CLOSED_MS, run);
    }
    rmSync(shop.idle, { force: true });
  } while (existsSync(shop.closed));
}
