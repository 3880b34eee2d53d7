import type { ShownName } from '../app/results.ts';
import { nameText } from '../core/byte-name.ts';

/** A name of a result as one line that is safe on a terminal, and that `ls` and `cat` take back. */
export function safeName({ name, nameBase64 }: ShownName): string {
  return nameText(Buffer.from(nameBase64 ?? name, nameBase64 === undefined ? 'utf8' : 'base64'));
}

const LONGEST = 120;
const ENDS = 56;

/** A long path, or a sentence about one, without its middle: where it begins and what it ends in say most. */
export function shortened(text: string): string {
  const characters = Array.from(text);
  if (characters.length <= LONGEST) return text;
  const left = characters.length - 2 * ENDS;
  return `${characters.slice(0, ENDS).join('')}… ${left} characters …${characters.slice(-ENDS).join('')}`;
}
