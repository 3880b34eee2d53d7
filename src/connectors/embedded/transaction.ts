import type { DatabaseSync, StatementSync } from 'node:sqlite';
import { must } from '../../core/must.ts';
import type { Clock } from '../../core/run.ts';
import { HEAD_SQL } from './database.ts';
import { keyBytes, textBytes } from './keys.ts';
import type { EmbeddedEntry, EmbeddedReader, RangeOptions } from './reading.ts';
import { bytesOf } from './reading.ts';

/** `ttlMs` or `expiresAtMs`: how long, or until when, it is there. `ifRevision`: only where the entry's revision is this one; 0: where there is none. */
export type PutOptions = {
  readonly ttlMs?: number | undefined;
  readonly expiresAtMs?: number | undefined;
  readonly ifRevision?: number | undefined;
};

/** Of what has expired, so many are deleted by each transaction. */
const EXPIRED_AT_ONCE = 16;

/** What a transaction may do. Only within the call that it was given to. */
export class EmbeddedTransaction {
  readonly #reader: EmbeddedReader;
  readonly #clock: Clock;
  readonly #head: StatementSync;
  readonly #insertChange: StatementSync;
  readonly #upsert: StatementSync;
  readonly #remove: StatementSync;
  readonly #expired: StatementSync;
  readonly #lastBegin: StatementSync;
  readonly #dropChanges: StatementSync;
  readonly #setFloor: StatementSync;
  #nowMs = 0;
  #first = 0;
  #next = 0;

  constructor(database: DatabaseSync, reader: EmbeddedReader, clock: Clock) {
    this.#reader = reader;
    this.#clock = clock;
    this.#head = database.prepare(
      `SELECT (${HEAD_SQL}) AS head, EXISTS (SELECT 1 FROM entries WHERE expires_at <= ?) AS isExpired`,
    );
    this.#insertChange = database.prepare(
      'INSERT INTO changes (revision, begin, at_ms, key, value, previous, expires_at) VALUES (?, ?, ?, ?, ?, ?, ?)',
    );
    this.#upsert = database.prepare(
      `INSERT INTO entries (key, value, revision, created, expires_at) VALUES (?1, ?2, ?3, ?3, ?4)
        ON CONFLICT (key) DO UPDATE SET value = excluded.value, revision = excluded.revision, expires_at = excluded.expires_at`,
    );
    this.#remove = database.prepare('DELETE FROM entries WHERE key = ?');
    this.#expired = database.prepare('SELECT key FROM entries WHERE expires_at <= ? ORDER BY expires_at LIMIT ?');
    this.#lastBegin = database.prepare(
      'SELECT max(revision) AS begin FROM changes WHERE revision <= ? + 1 AND begin IS NULL',
    );
    this.#dropChanges = database.prepare('DELETE FROM changes WHERE revision <= ?');
    this.#setFloor = database.prepare("UPDATE meta SET value = max(value, ?) WHERE name = 'floor'");
  }

  /** The newest revision, this transaction's changes included. */
  get head(): number {
    return this.#next - 1;
  }

  /** Called by the store once it holds the lock. */
  begin(): void {
    this.#nowMs = Math.floor(this.#clock.nowMs());
    const { head, isExpired } = must(this.#head.get(this.#nowMs), 'a head');
    this.#first = Number(head) + 1;
    this.#next = this.#first;
    if (isExpired === 1) this.removeExpired(EXPIRED_AT_ONCE);
  }

  /** So many changes so far, those of what has expired included. */
  get changeCount(): number {
    return this.#next - this.#first;
  }

  get(key: string | Uint8Array): Uint8Array | undefined {
    return this.#reader.get(key);
  }

  /** @throws TypeError when the value is not UTF-8 */
  getText(key: string | Uint8Array): string | undefined {
    return this.#reader.text(key);
  }

  entry(key: string | Uint8Array): EmbeddedEntry | undefined {
    return this.#reader.entry(key);
  }

  range(options?: RangeOptions): Generator<EmbeddedEntry> {
    return this.#reader.range(options);
  }

  put(key: string | Uint8Array, value: string | Uint8Array, options: PutOptions = {}): number | undefined {
    const bytes = keyBytes(key);
    const before = this.#current(bytes);
    if (options.ifRevision !== undefined && options.ifRevision !== (before?.revision ?? 0)) return undefined;
    const content = textBytes(value);
    const expiresAtMs = options.expiresAtMs ?? (options.ttlMs === undefined ? undefined : this.#nowMs + options.ttlMs);
    const expiresAt = expiresAtMs === undefined ? null : Math.ceil(expiresAtMs);
    const revision = this.#change(bytes, content, before?.value ?? null, expiresAt);
    this.#upsert.run(bytes, content, revision, expiresAt);
    return revision;
  }

  delete(key: string | Uint8Array, options: { readonly ifRevision?: number | undefined } = {}): number | undefined {
    const bytes = keyBytes(key);
    const before = this.#current(bytes);
    if (before === undefined) return undefined;
    if (options.ifRevision !== undefined && options.ifRevision !== before.revision) return undefined;
    return this.#delete(before);
  }

  /** Deletes all entries that begin with the prefix, a change each; how many. */
  deletePrefix(prefix: string | Uint8Array): number {
    let count = 0;
    for (const entry of this.#reader.range({ prefix })) {
      this.#delete(entry);
      count++;
    }
    return count;
  }

  /** Deletes up to `limit` of what has expired, a change each. */
  removeExpired(limit: number): void {
    const keys = this.#expired.all(this.#nowMs, limit).map((row) => bytesOf(row['key']));
    for (const key of keys) this.#delete(must(this.#reader.stored(key), 'what has expired'));
  }

  /** See `EmbeddedStore.compact`. */
  compact(revision: number): void {
    // Where the next transaction begins right after it, nothing of a transaction stays without the rest.
    const upTo = Math.min(Math.floor(revision), this.#first - 1);
    const begin = Number(this.#lastBegin.get(upTo)?.['begin'] ?? 0);
    const last = upTo === this.#first - 1 ? upTo : begin - 1;
    if (last <= 0) return;
    this.#dropChanges.run(last);
    this.#setFloor.run(last);
  }

  /** What is there now; what has expired becomes a delete first. */
  #current(key: Uint8Array): EmbeddedEntry | undefined {
    const entry = this.#reader.stored(key);
    if (entry === undefined || !this.#reader.hasExpired(entry)) return entry;
    this.#delete(entry);
    return undefined;
  }

  #delete({ key, value }: EmbeddedEntry): number {
    this.#remove.run(key);
    return this.#change(key, null, value, null);
  }

  #change(key: Uint8Array, value: Uint8Array | null, previous: Uint8Array | null, expiresAt: number | null): number {
    const revision = this.#next++;
    const begin = revision === this.#first ? null : this.#first;
    this.#insertChange.run(revision, begin, this.#nowMs, key, value, previous, expiresAt);
    return revision;
  }
}
