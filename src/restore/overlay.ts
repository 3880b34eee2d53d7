import { mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import type { StatementSync } from 'node:sqlite';
import { firstIndex } from '../core/first-index.ts';
import { must } from '../core/must.ts';
import type { StoredEntry, LoggedEntry } from '../core/restorer.ts';
import { packContent, unpackContent } from '../repository/base-reader.ts';

/** What is kept in memory before it goes to a file. */
const MEMORY_BYTES = 64 * 1024 * 1024;
const ENTRY_BYTES = 200;
/** So many times what a content takes when it is written it takes in memory. */
const CHUNK_FACTOR = 4;
const PAGE = 512;

/** `name`: each character is a byte. */
type SortedEntry = { readonly name: string; readonly entry: LoggedEntry };

/** An entry of its own memory, and about how much that is. */
type Kept = { readonly entry: LoggedEntry; readonly bytes: number };

/** The newest of each name; `undefined` where nothing is there any more. */
export type OverlaidEntry = { readonly name: Uint8Array; readonly entry: StoredEntry | undefined };

/**
 * What a log has changed, by name, the last change of each. Memory is bounded: beyond that it lies in a file of its own, which goes when it is disposed.
 */
export class Overlay implements Disposable {
  readonly #temporaryFolder: string;
  readonly #memoryBytes: number;
  readonly #newest = new Map<string, Kept>();
  #bytes = 0;
  #file: OverlayFile | undefined;
  /** Ascending by name. */
  #sorted: readonly SortedEntry[] | undefined;

  constructor(options: { readonly temporaryFolder: string; readonly memoryBytes?: number }) {
    this.#temporaryFolder = options.temporaryFolder;
    this.#memoryBytes = options.memoryBytes ?? MEMORY_BYTES;
  }

  /** What becomes of a name from now on, whatever was said of it before. Only before `close`. */
  put(entry: LoggedEntry): void {
    const name = nameKey(entry.name);
    const kept = keepEntry(entry);
    this.#bytes += kept.bytes - (this.#newest.get(name)?.bytes ?? 0);
    this.#newest.set(name, kept);
    if (this.#bytes > this.#memoryBytes) this.#layAside();
  }

  /** Nothing is put any more. */
  close(): void {
    if (this.#file !== undefined) this.#layAside();
    const names = [...this.#newest.keys()].sort();
    this.#sorted = names.map((name) => ({ name, entry: must(this.#newest.get(name), 'a name of the overlay').entry }));
  }

  get isEmpty(): boolean {
    return this.#newest.size === 0 && this.#file === undefined;
  }

  /** What became of a name. Undefined: the log does not tell of it. */
  find(name: Uint8Array): OverlaidEntry | undefined {
    if (this.#file !== undefined) return this.#file.find(name);
    const found = this.#newest.get(nameKey(name));
    return found && overlaid(found.entry);
  }

  /** All from a name on, ascending. */
  *from(name: Uint8Array): Generator<OverlaidEntry> {
    if (this.#file !== undefined) {
      yield* this.#file.from(name);
      return;
    }
    const sorted = must(this.#sorted, 'an overlay that was closed');
    const key = nameKey(name);
    const first = firstIndex(sorted.length, (index) => (sorted[index]?.name ?? '') >= key);
    for (let at = first; at < sorted.length; at++) {
      yield overlaid(must(sorted[at], 'an entry in this place').entry);
    }
  }

  [Symbol.dispose](): void {
    this.#file?.[Symbol.dispose]();
  }

  #layAside(): void {
    this.#file ??= new OverlayFile(this.#temporaryFolder);
    this.#file.put(this.#newest);
    this.#newest.clear();
    this.#bytes = 0;
  }
}

class OverlayFile implements Disposable {
  readonly #folder: string;
  readonly #database: DatabaseSync;
  readonly #one: StatementSync;
  readonly #page: StatementSync;

  constructor(temporaryFolder: string) {
    this.#folder = mkdtempSync(join(temporaryFolder, 'tidemark-log-'));
    this.#database = new DatabaseSync(join(this.#folder, 'overlay'));
    this.#database.exec(`
      PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA locking_mode = EXCLUSIVE;
      CREATE TABLE changes (name BLOB PRIMARY KEY, attributes BLOB, content BLOB) WITHOUT ROWID;
    `);
    this.#one = this.#database.prepare('SELECT name, attributes, content FROM changes WHERE name = ?');
    this.#page = this.#database.prepare(
      `SELECT name, attributes, content FROM changes WHERE name >= ? ORDER BY name LIMIT ${PAGE}`,
    );
  }

  put(entries: ReadonlyMap<string, Kept>): void {
    const put = this.#database.prepare('INSERT OR REPLACE INTO changes (name, attributes, content) VALUES (?, ?, ?)');
    this.#database.exec('BEGIN');
    for (const name of [...entries.keys()].sort()) {
      const { entry } = must(entries.get(name), 'an entry of that name');
      if ('removed' in entry) put.run(entry.name, null, null);
      else put.run(entry.name, entry.attributes, entry.content === undefined ? null : packContent(entry.content));
    }
    this.#database.exec('COMMIT');
  }

  find(name: Uint8Array): OverlaidEntry | undefined {
    const row = this.#one.get(name);
    return row && rowEntry(row);
  }

  *from(name: Uint8Array): Generator<OverlaidEntry> {
    for (let at = name; ; ) {
      const rows = this.#page.all(at).map(rowEntry);
      yield* rows;
      const last = rows.at(-1);
      if (rows.length < PAGE || last === undefined) return;
      at = Buffer.concat([last.name, Buffer.of(0)]);
    }
  }

  [Symbol.dispose](): void {
    this.#database.close();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

function rowEntry(row: Readonly<Record<string, unknown>>): OverlaidEntry {
  const { name, attributes, content } = row;
  const known = must(name instanceof Uint8Array ? name : undefined, 'a name in the overlay');
  if (!(attributes instanceof Uint8Array)) return { name: known, entry: undefined };
  const stored = content instanceof Uint8Array ? unpackContent(content) : undefined;
  return { name: known, entry: { name: known, attributes, content: stored } };
}

function overlaid(entry: LoggedEntry): OverlaidEntry {
  return { name: entry.name, entry: 'removed' in entry ? undefined : entry };
}

/** What is kept must not hold on to the frame that it came in. */
export function keepEntry(entry: LoggedEntry): Kept {
  const name = entry.name.slice();
  const ownBytes = ENTRY_BYTES + name.byteLength * 2;
  if ('removed' in entry) return { entry: { name, removed: true }, bytes: ownBytes };
  const attributes = entry.attributes.slice();
  const packed = entry.content && packContent(entry.content);
  return {
    entry: { name, attributes, content: packed && unpackContent(packed) },
    bytes: ownBytes + attributes.byteLength + (packed?.byteLength ?? 0) * CHUNK_FACTOR,
  };
}

/** A name as a key of a map: each character is a byte, so that their order is that of the bytes. */
export function nameKey(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');
}
