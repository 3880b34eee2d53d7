import { openSync } from 'node:fs';
import { openAt } from '../../io/native-folder.ts';

const PREFIX = Buffer.from('/proc/self/fd/');
const [ZERO, NINE, SLASH] = [0x30, 0x39, 0x2f];

/**
 * Opens a file without following a link at its end. A path that begins at an open folder, as `/proc/self/fd/3/a/b`, is opened from that
 * descriptor: the way through /proc takes longer than the rest. Made with mode 0600 where it is made. @throws SystemError
 */
export function openFile(path: Uint8Array, flags: number): number {
  const start = folderEnd(path);
  if (start === undefined) return openSync(Buffer.from(path), flags, 0o600);
  const folder = Number(Buffer.from(path.subarray(PREFIX.byteLength, start)).toString('latin1'));
  return openAt(folder, path.subarray(start + 1), flags);
}

/** Where the descriptor's number ends, in a path that goes on from there. */
function folderEnd(path: Uint8Array): number | undefined {
  if (Buffer.compare(path.subarray(0, PREFIX.byteLength), PREFIX) !== 0) return undefined;
  let at = PREFIX.byteLength;
  for (let digit = path[at]; digit !== undefined && digit >= ZERO && digit <= NINE; digit = path[at]) at++;
  const isRelative = at > PREFIX.byteLength && path[at] === SLASH && path[at + 1] !== SLASH && at + 1 < path.byteLength;
  return isRelative ? at : undefined;
}
