// C0 and C1 controls, DEL, line separators, and the marks that reorder text: each could forge or hide a line on a terminal.
const UNSAFE =
  /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g;

/** `text` in one line that is safe on a terminal: what could move the cursor or reorder the line is written as an escape. */
export function printable(text: string): string {
  return text.replace(UNSAFE, (found) => {
    const code = found.charCodeAt(0);
    return code < 0x100 ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u${code.toString(16).padStart(4, '0')}`;
  });
}

/** An excerpt in quotes, for text that the operator wrote. */
export function quoted(text: string, limit = 40): string {
  return `"${excerpt(text, limit)}"`;
}

/** As `printable`, and no longer than `limit` characters: the rest is an ellipsis. */
export function excerpt(text: string, limit: number): string {
  const characters = Array.from(text.slice(0, (limit + 1) * 2));
  return printable(characters.length <= limit ? text : `${characters.slice(0, limit - 1).join('')}…`);
}
