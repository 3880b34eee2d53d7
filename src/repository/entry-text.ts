import { nameText } from '../core/byte-name.ts';

const LONGEST = 200;

/** An entry's name for messages: one line, safe on a terminal, its components joined by `/`. A long one is cut in the middle. */
export function entryText(name: Uint8Array): string {
  const text = nameText(name.map((byte) => (byte === 0 ? 0x2f : byte)));
  if (text.length <= LONGEST) return text === '' ? '.' : text;
  const characters = Array.from(text);
  return [...characters.slice(0, LONGEST / 2), '…', ...characters.slice(-LONGEST / 2)].join('');
}
