import { printable } from '../../core/printable.ts';
import { pathText } from '../../io/native.ts';

/**
 * Names and paths of a file system are bytes. Inside this connector they travel as *byte text*: a string with one character from
 * U+0000 to U+00FF for each byte. Comparing two of them by `<` compares the bytes, they join like strings, and they are half the
 * cost of buffers.
 */
export type ByteText = string;

const NOT_ASCII = /[^\x00-\x7f]/;

export function byteText(bytes: Uint8Array): ByteText {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');
}

export function bytesOf(text: ByteText): Buffer {
  return Buffer.from(text, 'latin1');
}

/** The byte text of what an operator typed, in UTF-8. */
export function byteTextOf(text: string): ByteText {
  return NOT_ASCII.test(text) ? Buffer.from(text, 'utf8').toString('latin1') : text;
}

/** What Node's file functions take: the same string where it is plain ASCII, which saves a copy. */
export function systemPath(path: ByteText): string | Buffer {
  return NOT_ASCII.test(path) ? bytesOf(path) : path;
}

/** UTF-8 where it is, U+FFFD where it is not: for people and patterns, never to find a file again. */
export function lossyText(path: ByteText): string {
  return NOT_ASCII.test(path) ? bytesOf(path).toString('utf8') : path;
}

/** The name of the folder that something lies in; of the root the root's own. */
export function parentOf(name: ByteText): ByteText {
  return name.slice(0, Math.max(name.lastIndexOf('\0'), 0));
}

/** The name of what lies in a folder. */
export function childOf(folder: ByteText, component: ByteText): ByteText {
  return folder === '' ? component : `${folder}\0${component}`;
}

/** For messages: one line, safe on a terminal, with `\\xHH` for bytes that are not UTF-8. */
export function printablePath(path: ByteText): string {
  return printable(pathText(bytesOf(path)));
}
