import type { DatabaseSync, StatementSync } from 'node:sqlite';
import { compareBytes } from '../../core/bytes.ts';
import { assume, must } from '../../core/must.ts';
import type { Clock } from '../../core/run.ts';
import { endOfPrefix, keyBytes, textBytes } from './keys.ts';

/** `revision`: of its last change; `created`: of the change that made it. */
export type EmbeddedEntry = {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
  readonly revision: number;
  readonly created: number;
  readonly expiresAtMs?: number | undefined;
};

/** From `from` on (inclusive) and below `before`, within the prefix. `limit`: at most so many. */
export type RangeOptions = {
  readonly prefix?: string | Uint8Array | undefined;
  readonly from?: string | Uint8Array | undefined;
  readonly before?: string | Uint8Array | undefined;
  readonly reverse?: boolean | undefined;
  readonly limit?: number | undefined;
};

const COLUMNS = 'key, value, revision, created, expires_at';
const PAGE = 256;
/** A page ends early with so many bytes. */
const PAGE_BYTES = 1024 * 1024;
const NOTHING = new Uint8Array(0);
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Reads entries; what has expired is not there. */
export class EmbeddedReader {
  readonly #database: DatabaseSync;
  readonly #clock: Pick<Clock, 'nowMs'>;
  readonly #one: StatementSync;
  readonly #anyExpired: StatementSync;
  readonly #pages = new Map<string, StatementSync>();

  constructor(database: DatabaseSync, clock: Pick<Clock, 'nowMs'>) {
    this.#database = database;
    this.#clock = clock;
    this.#one = arrays(database.prepare(`SELECT ${COLUMNS} FROM entries WHERE key = ?`));
    this.#anyExpired = database.prepare('SELECT 1 FROM entries WHERE expires_at <= ? LIMIT 1');
  }

  get(key: string | Uint8Array): Uint8Array | undefined {
    return this.entry(key)?.value;
  }

  /** @throws TypeError when the value is not UTF-8 */
  text(key: string | Uint8Array): string | undefined {
    const value = this.get(key);
    return value === undefined ? undefined : decoder.decode(value);
  }

  entry(key: string | Uint8Array): EmbeddedEntry | undefined {
    const entry = this.stored(keyBytes(key));
    return entry === undefined || this.hasExpired(entry) ? undefined : entry;
  }

  /** The entry, also when it has expired and was not deleted yet. */
  stored(key: Uint8Array): EmbeddedEntry | undefined {
    const row = this.#one.get(key);
    return row === undefined ? undefined : entryOf(row);
  }

  hasExpired({ expiresAtMs }: EmbeddedEntry): boolean {
    return expiresAtMs !== undefined && expiresAtMs <= this.#clock.nowMs();
  }

  /** Whether something has expired that was not deleted yet. */
  anyExpired(): boolean {
    return this.#anyExpired.get(this.#clock.nowMs()) !== undefined;
  }

  /** In the order of keys, a page at a time: what changes meanwhile is seen from the next page on. */
  *range(options: RangeOptions = {}): Generator<EmbeddedEntry> {
    const { reverse = false, limit = Infinity } = options;
    let { from, before } = boundsOf(options);
    let left = limit;
    while (left > 0) {
      const page = this.#page({ from, before, reverse, most: Math.min(left, PAGE) });
      for (const entry of page.entries) {
        if (this.hasExpired(entry)) continue;
        yield entry;
        left--;
        if (left <= 0) return;
      }
      const last = page.entries.at(-1);
      if (page.isLast || last === undefined) return;
      if (reverse) before = last.key;
      else from = Buffer.concat([last.key, Buffer.of(0)]);
    }
  }

  #page(bounds: { from: Uint8Array; before: Uint8Array | undefined; reverse: boolean; most: number }): {
    readonly entries: readonly EmbeddedEntry[];
    readonly isLast: boolean;
  } {
    const { from, before, reverse, most } = bounds;
    const entries: EmbeddedEntry[] = [];
    let bytes = 0;
    const statement = this.#pageStatement(before !== undefined, reverse);
    for (const row of before === undefined ? statement.iterate(from, most) : statement.iterate(from, before, most)) {
      const entry = entryOf(row);
      entries.push(entry);
      bytes += entry.key.byteLength + entry.value.byteLength;
      if (bytes >= PAGE_BYTES) return { entries, isLast: false };
    }
    return { entries, isLast: entries.length < most };
  }

  #pageStatement(hasEnd: boolean, reverse: boolean): StatementSync {
    const sql =
      `SELECT ${COLUMNS} FROM entries WHERE key >= ?${hasEnd ? ' AND key < ?' : ''}` +
      ` ORDER BY key${reverse ? ' DESC' : ''} LIMIT ?`;
    const known = this.#pages.get(sql);
    if (known !== undefined) return known;
    const statement = arrays(this.#database.prepare(sql));
    this.#pages.set(sql, statement);
    return statement;
  }
}

function boundsOf(options: RangeOptions): { from: Uint8Array; before: Uint8Array | undefined } {
  const prefix = textBytes(options.prefix ?? NOTHING);
  const from = textBytes(options.from ?? NOTHING);
  const end = endOfPrefix(prefix);
  const before = options.before === undefined ? end : textBytes(options.before);
  return {
    from: compareBytes(from, prefix) < 0 ? prefix : from,
    before: end !== undefined && before !== undefined && compareBytes(end, before) < 0 ? end : before,
  };
}

/** Rows come as arrays, which are made faster than objects. */
function arrays(statement: StatementSync): StatementSync {
  statement.setReturnArrays(true);
  return statement;
}

function entryOf(row: unknown): EmbeddedEntry {
  const [key, value, revision, created, expiresAt] = columnsOf(row);
  const entry = { key: bytesOf(key), value: bytesOf(value), revision: Number(revision), created: Number(created) };
  return typeof expiresAt === 'number' ? { ...entry, expiresAtMs: expiresAt } : entry;
}

function columnsOf(row: unknown): readonly unknown[] {
  assume(Array.isArray(row), 'a row in an array');
  return row as readonly unknown[]; // an array of anything is this
}

/** A column of bytes. */
export function bytesOf(value: unknown): Uint8Array {
  return must(value instanceof Uint8Array ? value : undefined, 'a column of bytes');
}
