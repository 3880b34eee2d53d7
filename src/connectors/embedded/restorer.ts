import { lstatSync, mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import type { DatabaseSync } from 'node:sqlite';
import { nameText, parseNameText } from '../../core/byte-name.ts';
import { equalBytes, startsWithBytes } from '../../core/bytes.ts';
import type { RestorerContext } from '../../core/connector.ts';
import { decoded } from '../../core/entry-check.ts';
import { isTidemarkError, TidemarkError } from '../../core/errors.ts';
import { must } from '../../core/must.ts';
import type { BaseReader, Restorer, RestoreReport, StoredEntry } from '../../core/restorer.ts';
import type { Run } from '../../core/run.ts';
import { disjointPrefixes } from '../../core/source.ts';
import { valueContent } from '../../core/stored-keys.ts';
import { decodeStoredValue } from '../../core/stored-value.ts';
import type { StoredValue } from '../../core/stored-value.ts';
import { removeDatabase } from '../../io/sqlite-files.ts';
import { assertWhole, openDatabase } from './database.ts';
import { withStoreErrors } from './errors.ts';
import { besideOf } from './place.ts';
import type { Beside, EmbeddedPlace } from './place.ts';
import { swapIn } from './swap.ts';

const BUSY_TIMEOUT_MS = 10_000;
const NOTHING = new Uint8Array(0);

/** Restores an embedded store into a file beside the one that is there. */
export function openEmbeddedRestorer(place: EmbeddedPlace, context: RestorerContext): Restorer {
  return new EmbeddedRestorer(context.target ?? place.file, context);
}

class EmbeddedRestorer implements Restorer {
  readonly #file: string;
  readonly #id: string;
  readonly #beside: Beside;
  readonly #prefixes: readonly Uint8Array[] | undefined;
  #restored: BaseReader | undefined;

  constructor(file: string, { id, only }: RestorerContext) {
    this.#file = file;
    this.#id = id;
    this.#beside = besideOf(file, id);
    const prefixes = (only ?? []).map(parseNameText);
    this.#prefixes = prefixes.length === 0 ? undefined : disjointPrefixes({ prefixes });
  }

  async restoreBase(base: BaseReader, run: Run): Promise<RestoreReport> {
    run.signal.throwIfAborted();
    if (this.#prefixes !== undefined) await this.#assertMatches(base, run);
    mkdirSync(dirname(this.#file), { recursive: true });
    removeDatabase(this.#beside.fresh);
    if (this.#prefixes !== undefined) this.#copyLive();
    using database = this.#openFresh();
    database.exec('BEGIN');
    this.#removeChosen(database);
    const counts = await this.#insert(database, base, run);
    database.exec('COMMIT');
    this.#restored = base;
    return { ...counts, reusedBytes: 0, notes: [], noteCount: 0 };
  }

  async verify(run: Run): Promise<{ readonly entries: number; readonly bytes: number }> {
    const base = must(this.#restored, 'a base was restored');
    using database = this.#openFresh();
    assertWhole(database, this.#beside.fresh);
    let [entries, bytes] = [0, 0];
    for (const prefix of this.#prefixes ?? [NOTHING]) {
      // Both go through the keys in their order, which is far cheaper than to look for each.
      const rows = rowsFrom(database, prefix);
      for await (const batch of base.entries(run, { prefix })) {
        for (const entry of batch) {
          const stored = storedValueOf(entry);
          const value = stored.inline ?? (await readValue(entry, base, run));
          if (!isRow(rows.next().value, { key: entry.name, value, expiresAt: stored.expiresAtMs ?? null })) {
            const name = Buffer.from(entry.name).toString();
            throw new TidemarkError('RESTORE_FAILED', `${this.#file}: the value of ${name} is not as it should be`);
          }
          entries++;
          bytes += value.byteLength;
        }
      }
      const [more] = columnsOf(rows.next().value);
      if (more instanceof Uint8Array && startsWithBytes(more, prefix)) {
        throw new TidemarkError('RESTORE_FAILED', `${this.#file}: there are more keys than there should be`);
      }
    }
    return { entries, bytes };
  }

  async swap(run: Run): Promise<{ readonly keptAside?: string | undefined }> {
    run.signal.throwIfAborted();
    return withStoreErrors(this.#file, () => swapIn({ file: this.#file, beside: this.#beside, id: this.#id }));
  }

  async [Symbol.asyncDispose](): Promise<void> {}

  /** For `--only`: the rest stays as it is now. */
  #copyLive(): void {
    if (lstatSync(this.#file, { throwIfNoEntry: false }) === undefined) return;
    using live = openDatabase({ path: this.#file, mustExist: true, durable: true, busyTimeoutMs: BUSY_TIMEOUT_MS });
    withStoreErrors(this.#file, () => live.prepare('VACUUM INTO ?').run(this.#beside.fresh));
  }

  #openFresh(): DatabaseSync {
    return openDatabase({
      path: this.#beside.fresh,
      mustExist: false,
      durable: false,
      busyTimeoutMs: BUSY_TIMEOUT_MS,
    });
  }

  /** Before anything is written. */
  async #assertMatches(base: BaseReader, run: Run): Promise<void> {
    for await (const _ of this.#chosen(base, run)) return;
    throw new TidemarkError('ENTRY_NOT_FOUND', 'nothing that the store held then matches --only');
  }

  #removeChosen(database: DatabaseSync): void {
    const remove = database.prepare('DELETE FROM entries WHERE substr(key, 1, ?) = ?');
    for (const prefix of this.#prefixes ?? []) remove.run(prefix.byteLength, prefix);
  }

  async #insert(database: DatabaseSync, base: BaseReader, run: Run): Promise<{ entries: number; bytes: number }> {
    const insert = database.prepare(
      'INSERT INTO entries (key, value, revision, created, expires_at) VALUES (?, ?, 1, 1, ?)',
    );
    let [entries, bytes] = [0, 0];
    let damage: TidemarkError | undefined;
    const onDamage = (error: unknown): undefined => {
      if (!isTidemarkError(error, 'REPOSITORY_DAMAGED')) throw error;
      damage ??= error;
    };
    for await (const batch of this.#chosen(base, run)) {
      for (const entry of batch) {
        const stored = storedValueOf(entry);
        // The others are read all the same, so that all that is damaged is found at once.
        const value = stored.inline ?? (await readValue(entry, base, run).catch(onDamage));
        if (value === undefined) continue;
        withStoreErrors(this.#beside.fresh, () => insert.run(entry.name, value, stored.expiresAtMs ?? null));
        entries++;
        bytes += value.byteLength;
      }
    }
    if (damage !== undefined) throw damage;
    return { entries, bytes };
  }

  async *#chosen(base: BaseReader, run: Run): AsyncGenerator<readonly StoredEntry[]> {
    for (const prefix of this.#prefixes ?? [NOTHING]) yield* base.entries(run, { prefix });
  }
}

function rowsFrom(database: DatabaseSync, key: Uint8Array): Iterator<unknown> {
  const rows = database.prepare('SELECT key, value, expires_at FROM entries WHERE key >= ? ORDER BY key');
  rows.setReturnArrays(true);
  return rows.iterate(key);
}

function columnsOf(row: unknown): readonly unknown[] {
  return Array.isArray(row) ? (row as readonly unknown[]) : []; // an array of anything is this
}

type Row = { readonly key: Uint8Array; readonly value: Uint8Array; readonly expiresAt: number | null };

function isRow(row: unknown, wanted: Row): boolean {
  const [key, value, expiresAt] = columnsOf(row);
  return (
    key instanceof Uint8Array &&
    value instanceof Uint8Array &&
    equalBytes(key, wanted.key) &&
    equalBytes(value, wanted.value) &&
    expiresAt === wanted.expiresAt
  );
}

function storedValueOf({ name, attributes }: StoredEntry): StoredValue {
  return decoded(
    () => decodeStoredValue(attributes),
    () => nameText(name),
  );
}

/** Of a value that is not in the attributes. */
async function readValue(entry: StoredEntry, base: BaseReader, run: Run): Promise<Uint8Array> {
  return Buffer.concat(await Array.fromAsync(valueContent(entry).read(base, run)));
}
