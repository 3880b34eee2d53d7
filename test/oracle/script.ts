import { createSeededRandom } from '../../src/flow/random.ts';
import type { SeededRandom } from '../../src/flow/random.ts';

/** A key and what it holds from then on; undefined: it goes. */
export type Write = readonly [key: string, value: string | undefined];

/** What a step does, in this order: the thing before the row that names it, and the row before the thing where both go. */
export type Step = {
  readonly number: number;
  /** Three files: a new one, one of few that are written again and again, and the counter. */
  readonly files: readonly (readonly [path: string, content: string])[];
  /** A transaction of each store. */
  readonly orders: readonly Write[];
  readonly catalog: readonly Write[];
  /** An old row of `orders`, and the file that it names. */
  readonly removal?: { readonly orders: readonly Write[]; readonly path: string } | undefined;
};

/** The moments between the things that a step does: before the first, after each. */
export type StepTimes = readonly number[];

export const COUNTER = 'counter';
/** How many transactions there were before, in each store. */
export const TURN = 'turn';
const ROWS_KEPT = 150;
const KEYS = 120;
const REWRITTEN = 7;

/** What the writer of a seed does: the same steps for whoever asks. */
export class Script {
  readonly #random: SeededRandom;
  readonly #rows: (readonly [row: string, path: string])[] = [];
  #number = 0;
  #ordersTurn = 0;
  #catalogTurn = 0;

  constructor(seed: number) {
    this.#random = createSeededRandom(seed);
  }

  next(): Step {
    const number = ++this.#number;
    const random = this.#random;
    const path = `folder-${random.integer(12)}/${random.chance(0.2) ? 'deep/' : ''}file-${number}`;
    const row = `row/${number}`;
    const files = [
      [path, contentOf(number, random)],
      [`rewritten-${number % REWRITTEN}`, contentOf(number, random)],
      [COUNTER, String(number)],
    ] as const;
    const orders: Write[] = [...this.#stamp(++this.#ordersTurn), [row, path], ...this.#noise()];
    const catalog: Write[] = [...this.#stamp(++this.#catalogTurn), ...this.#noise()];
    this.#rows.push([row, path]);
    return { number, files, orders, catalog, removal: this.#removal() };
  }

  #stamp(turn: number): readonly Write[] {
    return [
      ['a/first', String(this.#number)],
      [COUNTER, String(this.#number)],
      [TURN, String(turn)],
      ['z/last', String(this.#number)],
    ];
  }

  #noise(): readonly Write[] {
    const random = this.#random;
    return Array.from({ length: random.integer(6) }, (): Write => {
      const key = `key/${random.integer(KEYS)}`;
      return [key, random.chance(0.3) ? undefined : `${this.#number} ${'x'.repeat(random.integer(200))}`];
    });
  }

  /** Never one of the newest: a thing that comes and goes while a mark is taken is seen by nobody. */
  #removal(): Step['removal'] {
    if (this.#rows.length <= ROWS_KEPT || !this.#random.chance(0.8)) return undefined;
    const [[row, path] = ['', '']] = this.#rows.splice(this.#random.integer(this.#rows.length - ROWS_KEPT / 2), 1);
    this.#ordersTurn++;
    return {
      orders: [
        [TURN, String(this.#ordersTurn)],
        [row, undefined],
      ],
      path,
    };
  }
}

/** Small mostly, sometimes of several chunks. */
function contentOf(number: number, random: SeededRandom): string {
  const sizeBytes = random.chance(0.02) ? 200_000 : random.integer(3_000);
  return `${number}\n${Buffer.from(random.bytes(sizeBytes / 2)).toString('hex')}`;
}
