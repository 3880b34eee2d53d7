import { parseNameText } from './byte-name.ts';
import { compareBytes, startsWithBytes } from './bytes.ts';
import type { EntryChange, ListedEntry } from './connector.ts';
import { TidemarkError } from './errors.ts';
import { printable } from './printable.ts';
import type { BaseReader, StoredEntry } from './restorer.ts';
import type { Run } from './run.ts';
import { decodeStoredValue } from './stored-value.ts';

/*
 * How bases of keys and values (see stored-value.ts) are looked into. A key is its own name; where keys have a '/', `ls` shows what lies before it
 * as a folder.
 */

const SLASH = 0x2f;
const NOTHING = new Uint8Array(0);

/** The value's bytes, wherever they are stored. */
export function valueContent(entry: StoredEntry): { read(base: BaseReader, run: Run): AsyncIterable<Uint8Array> } {
  const { inline } = decodeStoredValue(entry.attributes);
  return {
    read(base, run) {
      if (inline !== undefined) return once(inline);
      return entry.content === undefined ? once(NOTHING) : base.read(entry.content, run);
    },
  };
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

export function describeKey({ name, attributes, content }: StoredEntry): ListedEntry {
  const { inline } = decodeStoredValue(attributes);
  return {
    name,
    type: 'file',
    sizeBytes: inline?.byteLength ?? content?.sizeBytes ?? 0,
  };
}

/**
 * All keys that begin with the path; without `recursive` those that go on with a '/' after that are shown once, as a folder.
 * @throws ENTRY_NOT_FOUND when no key begins with it
 */
export async function* listKeys(
  base: BaseReader,
  path: Uint8Array,
  { recursive }: { readonly recursive: boolean },
  run: Run,
): AsyncGenerator<readonly ListedEntry[]> {
  const prefix = path.byteLength === 1 && path[0] === SLASH ? NOTHING : path;
  let found = prefix.byteLength === 0;
  for (let from: Uint8Array | undefined = prefix; from !== undefined; ) {
    const at: Uint8Array = from;
    from = undefined;
    for await (const batch of base.entries(run, { prefix, from: at })) {
      const { listed, next } = recursive ? { listed: batch.map(describeKey), next: undefined } : direct(batch, prefix);
      found ||= listed.length > 0;
      if (listed.length > 0) yield listed;
      if (next === undefined) continue;
      from = next;
      break;
    }
  }
  if (!found) {
    throw new TidemarkError('ENTRY_NOT_FOUND', `no key begins with ${printable(Buffer.from(prefix).toString())}`);
  }
}

/** The keys up to the first folder, and that; `next`: the least key after all that it holds. */
function direct(
  batch: readonly StoredEntry[],
  prefix: Uint8Array,
): { readonly listed: readonly ListedEntry[]; readonly next: Uint8Array | undefined } {
  const listed: ListedEntry[] = [];
  for (const entry of batch) {
    const end = entry.name.indexOf(SLASH, prefix.byteLength);
    if (end < 0) {
      listed.push(describeKey(entry));
      continue;
    }
    listed.push({ name: entry.name.subarray(0, end), type: 'folder', sizeBytes: 0 });
    return { listed, next: Buffer.concat([entry.name.subarray(0, end), Buffer.of(SLASH + 1)]) };
  }
  return { listed, next: undefined };
}

/** As `Connector.checkEntry`. */
export function checkValue({ attributes }: StoredEntry): void {
  decodeStoredValue(attributes);
}

/** Patterns of keys are prefixes. */
export function keyMatcher(patterns: readonly string[]): (entry: ListedEntry) => boolean {
  const prefixes = patterns.map(parseNameText);
  return ({ name }) => prefixes.some((prefix) => startsWithBytes(name, prefix));
}

export function compareValues(left: StoredEntry, right: StoredEntry, sameContent: boolean): EntryChange {
  const [one, other] = [decodeStoredValue(left.attributes), decodeStoredValue(right.attributes)];
  if (!sameContent || compareBytes(one.inline ?? NOTHING, other.inline ?? NOTHING) !== 0) return 'content';
  return one.expiresAtMs === other.expiresAtMs ? 'none' : 'attributes';
}
