import { equalBytes } from '../../core/bytes.ts';
import type { EntryChange } from '../../core/connector.ts';
import type { StoredEntry } from '../../core/restorer.ts';
import { decodeAttributes, encodeAttributes } from './attributes.ts';
import type { Attributes } from './attributes.ts';

/** How two entries of one name differ. That a hard-linked file has another inode, as after a restore, is no difference. */
export function compareEntries(left: StoredEntry, right: StoredEntry, sameContent: boolean): EntryChange {
  const [one, other] = [decodeAttributes(left.attributes), decodeAttributes(right.attributes)];
  if (!sameContent || !equalBytes(whatIsRead(one), whatIsRead(other))) return 'content';
  return equalBytes(whatIsKept(one), whatIsKept(other)) ? 'none' : 'attributes';
}

/** Type, size, target, holes. */
function whatIsRead({ type, sizeBytes, target, extents }: Attributes): Uint8Array {
  return encodeAttributes({ type, sizeBytes, target, extents, mode: 0, uid: 0, gid: 0, mtimeNs: 0n, xattrs: [] });
}

function whatIsKept(attributes: Attributes): Uint8Array {
  const { linkGroup } = attributes;
  return encodeAttributes({ ...attributes, linkGroup: linkGroup && { ...linkGroup, mount: 0n, inode: 0n } });
}
