import { fchmodSync, fchownSync } from 'node:fs';
import { setTimesOfFile } from '../../io/native-time.ts';
import { writeXattr } from '../../io/native-xattr.ts';
import type { XattrTarget } from '../../io/native-xattr.ts';
import type { Attributes, ExtendedAttribute } from './attributes.ts';
import { byteText, printablePath } from './byte-text.ts';
import { reasonOf } from './errors.ts';
import type { OwnerToSet } from './owners.ts';

const SET_ID_BITS = 0o6000;

/**
 * Gives an open file or folder all that is stored of it. In this order: a change of owner clears capabilities and set-id bits, an ACL
 * may clear set-id bits, and all of it leaves the times alone.
 */
export function applyAttributes(
  file: number,
  attributes: Attributes,
  owner: OwnerToSet,
  note: (note: string) => void,
): void {
  const { uid, gid } = owner;
  if (uid !== undefined && gid !== undefined) fchownSync(file, uid, gid);
  setXattrs(file, attributes.xattrs, note);
  fchmodSync(file, modeToSet(attributes, owner));
  setTimesOfFile(file, { mtimeNs: attributes.mtimeNs, atimeNs: attributes.mtimeNs });
}

/** The permission bits to set: a program does not run as another user than it was meant to. */
export function modeToSet(attributes: Attributes, owner: OwnerToSet): number {
  return owner.exact || attributes.type === 'folder' ? attributes.mode : attributes.mode & ~SET_ID_BITS;
}

/** What is refused is noted, even "no space": file systems say it of attributes that are too large for them. */
export function setXattrs(
  target: XattrTarget,
  xattrs: readonly ExtendedAttribute[],
  note: (note: string) => void,
): void {
  for (const { name, value } of xattrs) {
    try {
      writeXattr(target, name, value);
    } catch (error) {
      note(`${printablePath(byteText(name))} can’t be set: ${reasonOf(error)}`);
    }
  }
}
