import type { EntryChange, ListedEntry } from '../../core/connector.ts';
import { TidemarkError } from '../../core/errors.ts';
import { must } from '../../core/must.ts';
import { printable } from '../../core/printable.ts';
import type { BaseReader, StoredContent, StoredEntry } from '../../core/restorer.ts';
import type { Run } from '../../core/run.ts';
import { RDB_ENTRY, shardEntries } from './base.ts';
import { compileKeyPatterns } from './key-patterns.ts';
import type { RdbKey } from './rdb/rdb-reader.ts';
import { keyOf, readRdb, valueOf } from './rdb/rdb-reader.ts';
import { takeString } from './rdb/rdb-string.ts';
import { payloadOf } from './rdb/restore-writer.ts';
import { valueVersion } from './rdb/value-skipper.ts';

/*
 * How bases are looked into. A base is one RDB, or one of each shard of a cluster, so that looking for anything reads it from its start; what is found is given as it comes. Databases are shown
 * as folders, `0/`, and their keys in them, in the order of the RDB, which is none: `0/session:17`. A key may hold a '/', which is then only a part of it.
 */

const SLASH = 0x2f;
const STRING_TYPE = 0;
const MOST_LISTED = 1_000;

/** `database`: undefined for all. */
type KeyPath = { readonly database: number | undefined; readonly key: Uint8Array };

/** Undefined for a path that is none. `key`: what the names of keys begin with. */
function parsePath(path: Uint8Array): KeyPath | undefined {
  const text = Buffer.from(path).toString('latin1');
  if (text === '' || text === '/') return { database: undefined, key: Buffer.of() };
  const [, number = '', behind] = /^\/?([0-9]{1,9})(?:$|(\/))/.exec(text) ?? [];
  if (number === '') return undefined;
  const from = (text.startsWith('/') ? 1 : 0) + number.length + (behind === undefined ? 0 : 1);
  return { database: Number(number), key: path.subarray(from) };
}

function keyPath(database: number, key: Uint8Array): Uint8Array {
  return Buffer.concat([Buffer.from(`${database}/`), key]);
}

/** Databases; or the keys of one, all of them or those that begin with what follows its number. @throws ENTRY_NOT_FOUND when there is none */
export async function* listKeys(
  base: BaseReader,
  path: Uint8Array,
  { recursive }: { readonly recursive: boolean },
  run: Run,
): AsyncGenerator<readonly ListedEntry[]> {
  const wanted = parsePath(path);
  let found = wanted !== undefined && wanted.database === undefined;
  const databases = new Set<number>();
  for (const content of await rdbsOf(base, run)) {
    if (wanted === undefined) break;
    for await (const { items } of readRdb(base.read(content, run))) {
      const keys = items.filter((item) => item.kind === 'key').filter((key) => isUnder(key, wanted));
      const showsKeys = recursive || wanted.database !== undefined;
      const listed = showsKeys ? keys.map(describeKey) : newDatabases(keys, databases);
      found ||= listed.length > 0;
      for (let at = 0; at < listed.length; at += MOST_LISTED) yield listed.slice(at, at + MOST_LISTED);
    }
  }
  if (found) return;
  throw new TidemarkError('ENTRY_NOT_FOUND', `the base has no ${printable(Buffer.from(path).toString())}`, {
    hint: 'A path is the number of a database, a slash and what a key begins with: 0/session:.',
  });
}

function isUnder(item: RdbKey, wanted: KeyPath): boolean {
  return (wanted.database ?? item.database) === item.database && beginsWith(keyOf(item), wanted.key);
}

function newDatabases(keys: readonly RdbKey[], known: Set<number>): readonly ListedEntry[] {
  const found = [...new Set(keys.map(({ database }) => database))].filter((database) => !known.has(database));
  for (const database of found) known.add(database);
  return found.map((database) => ({ name: Buffer.from(String(database)), type: 'folder', sizeBytes: 0 }));
}

function describeKey(item: RdbKey): ListedEntry {
  return { name: keyPath(item.database, keyOf(item)), type: 'file', sizeBytes: item.sizeBytes };
}

/**
 * What is stored under a key: the bytes of a string; of all others what DUMP answers, which RESTORE takes. Undefined when the key is not there.
 */
export async function readKey(
  base: BaseReader,
  path: Uint8Array,
  run: Run,
): Promise<AsyncIterable<Uint8Array> | undefined> {
  const wanted = parsePath(path);
  if (wanted?.database === undefined) return undefined;
  const { database, key } = wanted;
  for (const content of await rdbsOf(base, run)) {
    const found = await readKeyOf({ base, content, database, key }, run);
    if (found !== undefined) return found;
  }
  return undefined;
}

type WantedKey = {
  readonly base: BaseReader;
  readonly content: StoredContent;
  readonly database: number;
  readonly key: Uint8Array;
};

async function readKeyOf(
  { base, content, database, key }: WantedKey,
  run: Run,
): Promise<AsyncIterable<Uint8Array> | undefined> {
  for await (const { items, version } of readRdb(base.read(content, run))) {
    for (const item of items) {
      if (item.kind !== 'key' || item.database !== database || Buffer.compare(keyOf(item), key) !== 0) continue;
      const { type, at, sizeBytes } = item;
      const held = valueOf(item);
      if (held !== undefined) return once(shownValue({ type, value: held }, version));
      if (type === STRING_TYPE) {
        const value = Buffer.concat(await Array.fromAsync(span(base.read(content, run), at, sizeBytes)));
        return once(shownValue({ type, value }, version));
      }
      const least = valueVersion(type, version);
      const end = Buffer.from([least & 0xff, least >> 8, ...must(item.checksum, 'a checksum')]);
      return chained([once(Buffer.of(type)), span(base.read(content, run), at, sizeBytes), once(end)]);
    }
  }
  return undefined;
}

function shownValue(value: { readonly type: number; readonly value: Uint8Array }, version: number): Uint8Array {
  if (value.type !== STRING_TYPE) return payloadOf(value, valueVersion(value.type, version));
  const taken = takeString(value.value, 0, value.value.byteLength);
  return Uint8Array.from(must(taken, 'a whole string').bytes);
}

async function* span(pieces: AsyncIterable<Uint8Array>, from: number, sizeBytes: number): AsyncGenerator<Uint8Array> {
  let at = 0;
  for await (const piece of pieces) {
    const wanted = piece.subarray(Math.max(0, from - at), Math.max(0, from + sizeBytes - at));
    if (wanted.byteLength > 0) yield wanted;
    at += piece.byteLength;
    if (at >= from + sizeBytes) return;
  }
}

async function* chained(parts: readonly AsyncIterable<Uint8Array>[]): AsyncGenerator<Uint8Array> {
  for (const part of parts) yield* part;
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

function beginsWith(key: Uint8Array, prefix: Uint8Array): boolean {
  return Buffer.compare(key.subarray(0, prefix.byteLength), prefix) === 0;
}

/** One; or one of each shard of a cluster, which together are as one. */
async function rdbsOf(base: BaseReader, run: Run): Promise<readonly StoredContent[]> {
  const whole = await base.find(Buffer.from(RDB_ENTRY), run);
  const entries = whole === undefined ? await shardEntries(base, run) : [whole];
  return entries.flatMap(({ content }) => content ?? []);
}

/** The whole RDB. */
export function rdbContent({
  content,
}: StoredEntry): { read(base: BaseReader, run: Run): AsyncIterable<Uint8Array> } | undefined {
  return content && { read: (base, run) => base.read(content, run) };
}

export function describeRdb({ name, content }: StoredEntry): ListedEntry {
  return { name, type: 'file', sizeBytes: content?.sizeBytes ?? 0 };
}

/** Patterns of keys, as `--only` takes them. */
export function keyMatcher(patterns: readonly string[]): (entry: ListedEntry) => boolean {
  const matches = compileKeyPatterns(patterns);
  return ({ name }) => {
    const end = name.indexOf(SLASH);
    const path = end < 0 ? undefined : parsePath(name);
    return path?.database !== undefined && matches(path.database, path.key);
  };
}

export function compareRdbs(_left: StoredEntry, _right: StoredEntry, sameContent: boolean): EntryChange {
  return sameContent ? 'none' : 'content';
}
