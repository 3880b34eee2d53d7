import { decoded, undecodable } from '../../core/entry-check.ts';
import { TidemarkError } from '../../core/errors.ts';
import type { BaseReader, StoredEntry } from '../../core/restorer.ts';
import type { Run } from '../../core/run.ts';
import { decodeAttributes, encodeAttributes } from './attributes.ts';
import type { Attributes } from './attributes.ts';
import { byteText, printablePath } from './byte-text.ts';
import { assertPlain } from './entry-names.ts';

/** What is stored of an entry besides its content, which fits it. @throws REPOSITORY_DAMAGED, REPOSITORY_NEWER */
function decode({ attributes: bytes, content }: StoredEntry): Attributes {
  const attributes = decodeAttributes(bytes);
  const { extents } = attributes;
  if (extents === undefined) return attributes;
  const runs = extents.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  if (runs === (content?.sizeBytes ?? 0)) return attributes;
  const message = `the stored content of an entry has ${content?.sizeBytes ?? 0} bytes, its runs of data ${runs}`;
  throw new TidemarkError('REPOSITORY_DAMAGED', message);
}

/** The same for whoever restores: the error says which entry it is. */
export function decodeEntry(entry: StoredEntry): Attributes {
  return decoded(
    () => decode(entry),
    () => printablePath(byteText(entry.name).replaceAll('\0', '/')) || '.',
  );
}

/** As `Connector.checkEntry`. */
export function checkEntry(entry: StoredEntry): void {
  const { type } = decode(entry);
  if (entry.name.byteLength > 0) assertPlain(byteText(entry.name));
  else if (type !== 'folder') {
    throw new TidemarkError('REPOSITORY_DAMAGED', 'the base does not begin with the folder itself');
  }
}

/** As `Connector.standIn`: a folder that is closed to others, of the owner of the first thing in it. Undefined where nothing lies in it. */
export async function standIn(base: BaseReader, name: Uint8Array, run: Run): Promise<StoredEntry | undefined> {
  const isRoot = name.byteLength === 0;
  let holds = isRoot;
  for await (const batch of base.entries(run, { prefix: isRoot ? name : Buffer.concat([name, Buffer.of(0)]) })) {
    for (const entry of batch) {
      if (entry.name.byteLength === name.byteLength) continue;
      holds = true;
      if (undecodable(decode, entry) === undefined) return folder(name, decode(entry));
    }
  }
  return holds ? folder(name, { uid: 0, gid: 0, mtimeNs: 0n }) : undefined;
}

function folder(name: Uint8Array, { uid, gid, mtimeNs }: Pick<Attributes, 'uid' | 'gid' | 'mtimeNs'>): StoredEntry {
  const attributes = encodeAttributes({ type: 'folder', mode: 0o700, uid, gid, mtimeNs, sizeBytes: 0, xattrs: [] });
  return { name, attributes };
}
