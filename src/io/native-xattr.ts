import { checked, createStringPlace, ENODATA, EOPNOTSUPP, lastErrno, libc, systemError } from './native.ts';
import type { CallFacts, PathBytes } from './native.ts';

/** A path, whose last component is not followed when it is a link, or an open file's descriptor. */
export type XattrTarget = PathBytes | number;

/** The kernel's bound on a value and on the list of names. */
const XATTR_MAX_BYTES = 65_536;

const pathPlace = createStringPlace();
const namePlace = createStringPlace();
let answer: Uint8Array | undefined;

function answerPlace(): Uint8Array {
  answer ??= new Uint8Array(XATTR_MAX_BYTES);
  return answer;
}

function factsOf(target: XattrTarget, byPath: string, byFile: string): CallFacts {
  return typeof target === 'number' ? { syscall: byFile } : { syscall: byPath, path: target };
}

/**
 * Names of the extended attributes (`user.…`, `security.…`, `system.posix_acl_access` for an ACL), in the kernel's order.
 * Empty where the file system has none. @throws SystemError
 */
export function listXattrs(target: XattrTarget): Uint8Array[] {
  const facts = factsOf(target, 'llistxattr', 'flistxattr');
  const list = answerPlace();
  const size =
    typeof target === 'number'
      ? libc().flistxattr(target, list, list.byteLength)
      : libc().llistxattr(pathPlace.put(target, facts), list, list.byteLength);
  if (size === 0) return [];
  if (size < 0) {
    const errno = lastErrno();
    if (errno === EOPNOTSUPP) return [];
    throw systemError(errno, facts);
  }
  const names: Uint8Array[] = [];
  for (let start = 0; start < size; ) {
    const end = list.indexOf(0, start);
    names.push(list.slice(start, end));
    start = end + 1;
  }
  return names;
}

/** The attribute's value, or undefined when there is none of that name. @throws SystemError */
export function readXattr(target: XattrTarget, name: Uint8Array): Uint8Array | undefined {
  const facts = factsOf(target, 'lgetxattr', 'fgetxattr');
  const value = answerPlace();
  const key = namePlace.put(name, facts);
  const size =
    typeof target === 'number'
      ? libc().fgetxattr(target, key, value, value.byteLength)
      : libc().lgetxattr(pathPlace.put(target, facts), key, value, value.byteLength);
  if (size >= 0) return value.slice(0, size);
  const errno = lastErrno();
  if (errno === ENODATA) return undefined;
  throw systemError(errno, facts);
}

/** Creates or replaces one attribute. @throws SystemError: ENOTSUP where the file system or this kind of file takes none. */
export function writeXattr(target: XattrTarget, name: Uint8Array, value: Uint8Array): void {
  const facts = factsOf(target, 'lsetxattr', 'fsetxattr');
  const key = namePlace.put(name, facts);
  const result =
    typeof target === 'number'
      ? libc().fsetxattr(target, key, value, value.byteLength, 0)
      : libc().lsetxattr(pathPlace.put(target, facts), key, value, value.byteLength, 0);
  checked(result, facts);
}

/** Removes one attribute; an absent one is fine. @throws SystemError */
export function removeXattr(target: XattrTarget, name: Uint8Array): void {
  const facts = factsOf(target, 'lremovexattr', 'fremovexattr');
  const key = namePlace.put(name, facts);
  const result =
    typeof target === 'number'
      ? libc().fremovexattr(target, key)
      : libc().lremovexattr(pathPlace.put(target, facts), key);
  if (result < 0) {
    const errno = lastErrno();
    if (errno !== ENODATA) throw systemError(errno, facts);
  }
}

export type Xattr = { readonly name: Uint8Array; readonly value: Uint8Array };

/** All attributes with their values; one that vanishes meanwhile is left out. @throws SystemError */
export function readXattrs(target: XattrTarget): Xattr[] {
  const all: Xattr[] = [];
  for (const name of listXattrs(target)) {
    const value = readXattr(target, name);
    if (value !== undefined) all.push({ name, value });
  }
  return all;
}
