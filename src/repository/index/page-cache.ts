import type { RunFile } from './run-file.ts';
import { PAGE_BYTES } from './run-layout.ts';
import { must } from '../../core/must.ts';

const SLOTS = 4096;

/** Whose pages they are. `serial` tells it apart from all others and is not 0. */
export type PageOwner = Pick<RunFile, 'serial' | 'readPage'>;

/**
 * Pages of runs that were read last, checked. It holds a small index whole; for a large one each look-up reads a
 * page, and this is only the place to read it to. Never more than 8 MiB.
 */
export class PageCache {
  readonly #bytes = Buffer.from(new ArrayBuffer(SLOTS * PAGE_BYTES));
  readonly view: DataView = new DataView(this.#bytes.buffer);
  readonly #pages: (Buffer | undefined)[] = Array.from({ length: SLOTS });
  readonly #runs = new Float64Array(SLOTS);
  readonly #numbers = new Uint32Array(SLOTS);
  readonly #counts = new Uint8Array(SLOTS);
  #slot = 0;

  /** Brings a page in. Returns the number of its records, -1 when it is damaged. */
  load(run: PageOwner, page: number): number {
    const slot = (page + run.serial * 677) % SLOTS;
    this.#slot = slot;
    if (this.#runs[slot] === run.serial && this.#numbers[slot] === page) return must(this.#counts[slot], 'a slot');
    this.#runs[slot] = 0;
    const bytes = (this.#pages[slot] ??= this.#bytes.subarray(slot * PAGE_BYTES, (slot + 1) * PAGE_BYTES));
    const count = run.readPage(page, bytes);
    if (count < 0) return -1;
    this.#runs[slot] = run.serial;
    this.#numbers[slot] = page;
    this.#counts[slot] = count;
    return count;
  }

  /** Where the page that was loaded last begins in `view`. Valid until the next one is. */
  get offset(): number {
    return this.#slot * PAGE_BYTES;
  }
}
