import type { ShownName } from '../app/results.ts';
import { nameText } from '../core/byte-name.ts';

/** A name of a result as one line that is safe on a terminal, and that `ls` and `cat` take back. */
export function safeName({ name, nameBase64 }: ShownName): string {
  return nameText(Buffer.from(nameBase64 ?? name, nameBase64 === undefined ? 'utf8' : 'base64'));
}
