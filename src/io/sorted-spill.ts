import { mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { assume, must } from '../core/must.ts';

const MEMORY_BYTES = 32 * 1024 * 1024;
const RECORD_BYTES = 150;
const PAGE = 512;

/** A key of bytes, as a text of which each character is one, so that texts sort as the bytes do; and what is kept under it. */
type Kept = { readonly key: Uint8Array; readonly value: Uint8Array };

/**
 * Takes records in any order, each key once, and gives them back by ascending key. Memory is bounded: beyond that they lie in a file of their own, which goes
 * when this is disposed.
 */
export class SortedSpill implements Disposable {
  readonly #temporaryFolder: string;
  readonly #memoryBytes: number;
  readonly #records = new Map<string, Kept>();
  #bytes = 0;
  #file: { readonly folder: string; readonly database: DatabaseSync } | undefined;

  constructor(options: { readonly temporaryFolder: string; readonly memoryBytes?: number | undefined }) {
    this.#temporaryFolder = options.temporaryFolder;
    this.#memoryBytes = options.memoryBytes ?? MEMORY_BYTES;
  }

  /** The bytes are the spill's own from then on. */
  put(key: Uint8Array, value: Uint8Array): void {
    const text = Buffer.from(key.buffer, key.byteOffset, key.byteLength).toString('latin1');
    assume(!this.#records.has(text), 'each key comes once');
    this.#records.set(text, { key, value });
    this.#bytes += RECORD_BYTES + key.byteLength * 2 + value.byteLength;
    if (this.#bytes > this.#memoryBytes) this.#layAside();
  }

  /** Nothing is put any more. */
  *ascending(): Generator<Kept> {
    if (this.#file === undefined) {
      for (const text of [...this.#records.keys()].sort()) yield must(this.#records.get(text), 'a record of that key');
      return;
    }
    this.#layAside();
    const page = this.#file.database.prepare(`SELECT key, value FROM records WHERE key > ? ORDER BY key LIMIT ${PAGE}`);
    let rows = this.#file.database.prepare(`SELECT key, value FROM records ORDER BY key LIMIT ${PAGE}`).all();
    while (rows.length > 0) {
      const kept = rows.map(({ key, value }) => ({ key: bytesOf(key), value: bytesOf(value) }));
      yield* kept;
      rows = page.all(must(kept.at(-1), 'a last record').key);
    }
  }

  [Symbol.dispose](): void {
    if (this.#file === undefined) return;
    this.#file.database.close();
    rmSync(this.#file.folder, { recursive: true, force: true });
  }

  #layAside(): void {
    this.#file ??= openFile(this.#temporaryFolder);
    const { database } = this.#file;
    const put = database.prepare('INSERT INTO records (key, value) VALUES (?, ?)');
    database.exec('BEGIN');
    for (const { key, value } of this.#records.values()) put.run(key, value);
    database.exec('COMMIT');
    this.#records.clear();
    this.#bytes = 0;
  }
}

function openFile(temporaryFolder: string): { readonly folder: string; readonly database: DatabaseSync } {
  const folder = mkdtempSync(join(temporaryFolder, 'tidemark-sort-'));
  const database = new DatabaseSync(join(folder, 'records'));
  database.exec(`
    PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA locking_mode = EXCLUSIVE;
    CREATE TABLE records (key BLOB PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
  `);
  return { folder, database };
}

function bytesOf(value: unknown): Uint8Array {
  return must(value instanceof Uint8Array ? value : undefined, 'bytes in the file of a sort');
}
