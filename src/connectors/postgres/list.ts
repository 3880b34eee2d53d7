import ignore from 'ignore';
import type { EntryChange, ListedEntry } from '../../core/connector.ts';
import { TidemarkError } from '../../core/errors.ts';
import { printable } from '../../core/printable.ts';
import type { BaseReader, StoredEntry } from '../../core/restorer.ts';
import type { Run } from '../../core/run.ts';
import { decodeAttributes } from './attributes.ts';

const SLASH = 0x2f;
const NOTHING = new Uint8Array(0);

/** The name of the entry at a path as an operator types it: empty or '/' is the data directory itself. */
export function entryName(path: Uint8Array): Uint8Array {
  const parts = Buffer.from(path).toString('latin1').split('/');
  return Buffer.from(parts.filter((part) => part !== '' && part !== '.').join('/'), 'latin1');
}

export function describeEntry({ name, attributes, content }: StoredEntry): ListedEntry {
  const { type, mode, sizeBytes, mtimeS } = decodeAttributes(attributes);
  return { name, type, sizeBytes: content?.sizeBytes ?? sizeBytes, mode, mtimeNs: BigInt(mtimeS) * 1_000_000_000n };
}

/** The bytes of a file; undefined for a folder. */
export function entryContent({
  attributes,
  content,
}: StoredEntry): { read(base: BaseReader, run: Run): AsyncIterable<Uint8Array> } | undefined {
  if (decodeAttributes(attributes).type !== 'file') return undefined;
  return { read: (base, run) => (content === undefined ? empty() : base.read(content, run)) };
}

/** As `Connector.list`: what lies in a folder, or the one file at that path. @throws ENTRY_NOT_FOUND */
export async function* listEntries(
  base: BaseReader,
  path: Uint8Array,
  { recursive }: { readonly recursive: boolean },
  run: Run,
): AsyncGenerator<readonly ListedEntry[]> {
  const name = entryName(path);
  const at = name.byteLength === 0 ? undefined : await base.find(name, run);
  if (at !== undefined && decodeAttributes(at.attributes).type === 'file') {
    yield [describeEntry(at)];
    return;
  }
  const prefix = name.byteLength === 0 ? NOTHING : Buffer.concat([name, Buffer.of(SLASH)]);
  let found = at !== undefined || name.byteLength === 0;
  for await (const batch of recursive ? base.entries(run, { prefix }) : directEntries(base, prefix, run)) {
    found ||= batch.length > 0;
    if (batch.length > 0) yield batch.map(describeEntry);
  }
  if (!found) {
    throw new TidemarkError('ENTRY_NOT_FOUND', `the base has no ${printable(Buffer.from(path).toString())}`);
  }
}

/** Jumps over what lies in the folders: their nodes are not read. */
async function* directEntries(base: BaseReader, prefix: Uint8Array, run: Run): AsyncGenerator<readonly StoredEntry[]> {
  for (let from: Uint8Array | undefined = prefix; from !== undefined; ) {
    let next: Uint8Array | undefined;
    for await (const batch of base.entries(run, { prefix, from })) {
      const end = batch.findIndex(({ name }) => name.includes(SLASH, prefix.byteLength));
      yield end < 0 ? batch : batch.slice(0, end);
      const inner = batch[end]?.name;
      if (inner === undefined) continue;
      next = Buffer.concat([inner.subarray(0, inner.indexOf(SLASH, prefix.byteLength)), Buffer.of(SLASH + 1)]);
      break;
    }
    from = next;
  }
}

/** Patterns in gitignore's syntax; a folder that matches stands for all that it holds. */
export function entryMatcher(patterns: readonly string[]): (entry: ListedEntry) => boolean {
  const rules = ignore({ ignorecase: false }).add([...patterns]);
  return ({ name, type }) => {
    const path = Buffer.from(name).toString();
    if (path === '' || !rules.ignores(type === 'folder' ? `${path}/` : path)) return false;
    const parent = path.slice(0, Math.max(path.lastIndexOf('/'), 0));
    return parent === '' || !rules.ignores(`${parent}/`);
  };
}

/** When a file was written means nothing to the server. */
export function compareEntries(left: StoredEntry, right: StoredEntry, sameContent: boolean): EntryChange {
  const [one, other] = [decodeAttributes(left.attributes), decodeAttributes(right.attributes)];
  if (!sameContent || one.type !== other.type) return 'content';
  return one.mode === other.mode ? 'none' : 'attributes';
}

async function* empty(): AsyncGenerator<Uint8Array> {}
