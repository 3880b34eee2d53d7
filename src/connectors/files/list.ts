import type { ListedEntry } from '../../core/connector.ts';
import { TidemarkError } from '../../core/errors.ts';
import type { BaseReader, StoredEntry } from '../../core/restorer.ts';
import type { Run } from '../../core/run.ts';
import { decodeAttributes } from './attributes.ts';
import { byteText, bytesOf, printablePath } from './byte-text.ts';
import type { ByteText } from './byte-text.ts';

/** The name of the entry at a path with '/' between components, as an operator types it; empty or '/' is the root. */
export function entryName(path: Uint8Array): Uint8Array {
  const components = byteText(path)
    .split('/')
    .filter((component) => component !== '' && component !== '.');
  return bytesOf(components.join('\0'));
}

/**
 * All that lies in a folder at any depth, in order, or the one file or link at that path. Names are relative to the store's root, with '/'
 * between components. @throws ENTRY_NOT_FOUND
 */
export async function* listEntries(
  base: BaseReader,
  path: Uint8Array,
  run: Run,
): AsyncGenerator<readonly ListedEntry[]> {
  const name = entryName(path);
  const at = await base.find(name, run);
  if (at === undefined) throw new TidemarkError('ENTRY_NOT_FOUND', `the base has no ${printablePath(byteText(path))}`);
  if (decodeAttributes(at.attributes).type !== 'folder') {
    yield [listed(at)];
    return;
  }
  const prefix = name.byteLength === 0 ? name : Buffer.concat([name, Buffer.of(0)]);
  for await (const batch of base.entries(run, { prefix })) {
    const inside = batch.filter((entry) => entry.name.byteLength > 0).map(listed);
    if (inside.length > 0) yield inside;
  }
}

function listed({ name, attributes }: StoredEntry): ListedEntry {
  const { type, sizeBytes, mode, mtimeNs } = decodeAttributes(attributes);
  const path: ByteText = byteText(name).replaceAll('\0', '/');
  return { name: bytesOf(path), type, sizeBytes, mode, mtimeNs };
}
