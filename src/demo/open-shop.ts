import { once } from 'node:events';
import { extname } from 'node:path';
import { Worker } from 'node:worker_threads';
import type { Shop } from './shop.ts';

/** An order in the shop's own log: when it was begun, and when it was in all three stores. */
export type Sale = { readonly number: number; readonly begunMs: number; readonly doneMs: number };

const PROGRAM = new URL(`shop-worker${extname(import.meta.filename)}`, import.meta.url);

/** Customers order, on a thread of their own, until this is closed. */
export class OpenShop implements AsyncDisposable {
  readonly #worker: Worker;
  readonly #sales: Sale[] = [];
  readonly #ended: Promise<unknown>;
  #failure: Error | undefined;

  constructor(shop: Shop) {
    this.#worker = new Worker(PROGRAM, { workerData: shop, name: 'shop' });
    this.#worker.on('message', (sale: Sale) => this.#sales.push(sale));
    this.#worker.on('error', (error) => {
      this.#failure = error instanceof Error ? error : new Error(String(error));
    });
    this.#ended = once(this.#worker, 'exit');
    this.#ended.catch(() => undefined);
  }

  /** Ascending by number, from 1. @throws what the shop failed with */
  get sales(): readonly Sale[] {
    if (this.#failure !== undefined) throw this.#failure;
    return this.#sales;
  }

  /** Finishes the order that it is at. */
  async close(): Promise<void> {
    this.#worker.postMessage('close');
    await this.#ended.catch(() => undefined);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}
