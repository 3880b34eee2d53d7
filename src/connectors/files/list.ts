import type { ListedEntry } from '../../core/connector.ts';
import { TidemarkError } from '../../core/errors.ts';
import type { BaseReader, StoredEntry } from '../../core/restorer.ts';
import type { Run } from '../../core/run.ts';
import { decodeAttributes } from './attributes.ts';
import { byteText, bytesOf, printablePath } from './byte-text.ts';

/** The name of the entry at a path with '/' between components, as an operator types it; empty or '/' is the root. */
export function entryName(path: Uint8Array): Uint8Array {
  const components = byteText(path)
    .split('/')
    .filter((component) => component !== '' && component !== '.');
  return bytesOf(components.join('\0'));
}

/** The inverse of `entryName`. */
export function entryPath(name: Uint8Array): Uint8Array {
  return bytesOf(byteText(name).replaceAll('\0', '/'));
}

/**
 * What lies in a folder, directly or with `recursive` at any depth, in order; or the one file or link at that path. Names are relative to the
 * store's root, with '/' between components. @throws ENTRY_NOT_FOUND
 */
export async function* listEntries(
  base: BaseReader,
  path: Uint8Array,
  { recursive }: { readonly recursive: boolean },
  run: Run,
): AsyncGenerator<readonly ListedEntry[]> {
  const name = entryName(path);
  const at = await base.find(name, run);
  if (at === undefined) throw new TidemarkError('ENTRY_NOT_FOUND', `the base has no ${printablePath(byteText(path))}`);
  if (decodeAttributes(at.attributes).type !== 'folder') {
    yield [describeEntry(at)];
    return;
  }
  const prefix = name.byteLength === 0 ? name : Buffer.concat([name, Buffer.of(0)]);
  const batches = recursive ? base.entries(run, { prefix }) : directEntries(base, prefix, run);
  for await (const batch of batches) {
    const inside = batch.filter((entry) => entry.name.byteLength > prefix.byteLength).map(describeEntry);
    if (inside.length > 0) yield inside;
  }
}

/** An entry as people see it. */
export function describeEntry({ name, attributes }: StoredEntry): ListedEntry {
  const { type, sizeBytes, mode, mtimeNs, target } = decodeAttributes(attributes);
  return { name: entryPath(name), type, sizeBytes, mode, mtimeNs, ...(target === undefined ? {} : { target }) };
}

/** Jumps over what lies in the folders: their nodes are not read. */
async function* directEntries(base: BaseReader, prefix: Uint8Array, run: Run): AsyncGenerator<readonly StoredEntry[]> {
  for (let from: Uint8Array | undefined = prefix; from !== undefined; ) {
    let next: Uint8Array | undefined;
    for await (const batch of base.entries(run, { prefix, from })) {
      yield batch.filter(({ name }) => innerEnd(name, prefix) < 0);
      next = behindFolder(batch.at(-1)?.name, prefix);
      if (next !== undefined) break;
    }
    from = next;
  }
}

/** Where the first component after the prefix ends, or -1 when it is the last one. */
function innerEnd(name: Uint8Array, prefix: Uint8Array): number {
  return name.indexOf(0, prefix.byteLength);
}

/** The first name that can come after all of the folder that holds `name`; undefined when it lies directly under the prefix. */
function behindFolder(name: Uint8Array | undefined, prefix: Uint8Array): Uint8Array | undefined {
  const end = name === undefined ? -1 : innerEnd(name, prefix);
  return name === undefined || end < 0 ? undefined : Buffer.concat([name.subarray(0, end), Buffer.of(1)]);
}
