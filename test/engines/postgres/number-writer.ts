import { setTimeout as sleep } from 'node:timers/promises';
import type { PostgresServer } from '../../servers/postgres.ts';

const RETRY_MS = 20;

/** Makes the table that a `NumberWriter` writes. */
export async function makeNumbers(server: PostgresServer): Promise<void> {
  await server.query('CREATE TABLE numbers (n int PRIMARY KEY, pad text)');
}

export async function numbersOf(server: PostgresServer): Promise<ReadonlySet<number>> {
  return new Set((await server.query('SELECT n FROM numbers')).map(({ n }) => Number(n)));
}

/**
 * Commits number after number on the server that it was told last, without a rest, and knows which it was told to be committed. Dispose it after its
 * servers: a commit may wait for a standby for ever.
 */
export class NumberWriter implements AsyncDisposable {
  readonly #committed = new Set<number>();
  readonly #done: Promise<void>;
  #server: PostgresServer | undefined;
  #isStopped = false;
  #held: Held | undefined = held();
  #last = 0;

  /** It begins with `moveTo` and `goOn`. */
  constructor() {
    this.#done = this.#write();
  }

  get committed(): ReadonlySet<number> {
    return new Set(this.#committed);
  }

  /** The last number that it has tried. */
  get last(): number {
    return this.#last;
  }

  moveTo(server: PostgresServer): void {
    this.#server = server;
  }

  /** Resolves when it stands between two commits, until `goOn`. */
  async hold(): Promise<void> {
    this.#held ??= held();
    await this.#held.stands.promise;
  }

  goOn(): void {
    this.#held?.goesOn.resolve();
    this.#held = undefined;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isStopped = true;
    this.goOn();
    await this.#done;
  }

  async #write(): Promise<void> {
    while (!this.#isStopped) {
      if (this.#held !== undefined) {
        this.#held.stands.resolve();
        await this.#held.goesOn.promise;
        continue;
      }
      const n = ++this.#last;
      try {
        await this.#server?.query(`INSERT INTO numbers VALUES (${n}, repeat('x', ${n % 700}))`);
        this.#committed.add(n);
      } catch {
        // It may be there all the same: nobody was told.
        await sleep(RETRY_MS);
      }
    }
  }
}

type Held = { readonly stands: PromiseWithResolvers<void>; readonly goesOn: PromiseWithResolvers<void> };

function held(): Held {
  return { stands: Promise.withResolvers(), goesOn: Promise.withResolvers() };
}
