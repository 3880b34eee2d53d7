import type { RunFile } from './run-file.ts';
import { PAGE_BYTES } from './run-layout.ts';
import { must } from '../../core/must.ts';

const SLOTS = 4096;
/** For so many pages memory is taken at once, when the first of them comes. */
const BLOCK_SLOTS = 64;
const NOTHING = new DataView(new ArrayBuffer(0));

/** Whose pages they are. `serial` tells it apart from all others and is not 0. */
export type PageOwner = Pick<RunFile, 'serial' | 'readPage'>;

/**
 * Pages of runs that were read last, checked. It holds a small index whole; for a large one each look-up reads a
 * page, and this is only the place to read it to. Never more than 8 MiB, and little for a small index.
 */
export class PageCache {
  readonly #blocks: (DataView<ArrayBuffer> | undefined)[] = Array.from({ length: SLOTS / BLOCK_SLOTS });
  readonly #pages: (Buffer | undefined)[] = Array.from({ length: SLOTS });
  readonly #runs = new Float64Array(SLOTS);
  readonly #numbers = new Uint32Array(SLOTS);
  readonly #counts = new Uint8Array(SLOTS);
  #slot = 0;
  #view: DataView = NOTHING;

  /** Brings a page in. Returns the number of its records, -1 when it is damaged. */
  load(run: PageOwner, page: number): number {
    const slot = (page + run.serial * 677) % SLOTS;
    const number = Math.trunc(slot / BLOCK_SLOTS);
    const block = (this.#blocks[number] ??= new DataView(new ArrayBuffer(BLOCK_SLOTS * PAGE_BYTES)));
    this.#slot = slot;
    this.#view = block;
    if (this.#runs[slot] === run.serial && this.#numbers[slot] === page) return must(this.#counts[slot], 'a slot');
    this.#runs[slot] = 0;
    const bytes = (this.#pages[slot] ??= Buffer.from(block.buffer, this.offset, PAGE_BYTES));
    const count = run.readPage(page, bytes);
    if (count < 0) return -1;
    this.#runs[slot] = run.serial;
    this.#numbers[slot] = page;
    this.#counts[slot] = count;
    return count;
  }

  /** Holds the page that was loaded last. Valid until the next one is. */
  get view(): DataView {
    return this.#view;
  }

  /** Where that page begins in it. */
  get offset(): number {
    return (this.#slot % BLOCK_SLOTS) * PAGE_BYTES;
  }
}
