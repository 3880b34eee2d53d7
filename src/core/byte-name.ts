import { isUtf8 } from 'node:buffer';

const BACKSLASH = 0x5c;
// What could move the cursor, reorder the line, or be taken for an escape.
const ESCAPED = /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]|\\(?=x[0-9A-Fa-f]{2})/g;

/**
 * A name as one line of text that is safe on a terminal: UTF-8 as it is, anything else byte by byte as `\xHH`.
 * `parseNameText` reads it back to the same bytes.
 */
export function nameText(name: Uint8Array): string {
  if (isUtf8(name)) {
    return Buffer.from(name)
      .toString('utf8')
      .replace(ESCAPED, (found) => escaped(Buffer.from(found)));
  }
  let text = '';
  for (const byte of name) {
    const isPlain = byte >= 0x20 && byte <= 0x7e && byte !== BACKSLASH;
    text += isPlain ? String.fromCharCode(byte) : escaped([byte]);
  }
  return text;
}

/** The bytes of a name as an operator types it: UTF-8, with `\xHH` for any byte. A backslash before anything else is one. */
export function parseNameText(text: string): Uint8Array {
  return parse(text, (bytes) => bytes);
}

/** As `parseNameText`, of a pattern in which a backslash makes a sign stand for itself: what is typed as `\xHH` does. */
export function parsePatternText(text: string): Uint8Array {
  return parse(text, (bytes) =>
    Buffer.from(Array.from(bytes, (byte) => (isSign(byte) ? [BACKSLASH, byte] : [byte])).flat()),
  );
}

function parse(text: string, typed: (bytes: Uint8Array) => Uint8Array): Uint8Array {
  const pieces = text.split(/((?:\\x[0-9A-Fa-f]{2})+)/);
  return Buffer.concat(
    pieces.map((piece, index) =>
      index % 2 === 0 ? Buffer.from(piece, 'utf8') : typed(Buffer.from(piece.replaceAll('\\x', ''), 'hex')),
    ),
  );
}

function isSign(byte: number): boolean {
  return byte < 0x80 && !/[0-9A-Za-z]/.test(String.fromCharCode(byte));
}

function escaped(bytes: Iterable<number>): string {
  return Array.from(bytes, (byte) => `\\x${byte.toString(16).padStart(2, '0')}`).join('');
}
