import { stripVTControlCharacters } from 'node:util';

/** What fills two columns of a terminal: East Asian characters and pictures. */
const WIDE =
  /^[\u1100-\u115f\u2329\u232a\u2e80-\u303e\u3041-\ua4cf\ua960-\ua97f\uac00-\ud7a3\uf900-\ufaff\ufe10-\ufe19\ufe30-\ufe6f\uff01-\uff60\uffe0-\uffe6\u{20000}-\u{3fffd}\p{Emoji_Presentation}]$/u;
/** What is drawn onto the character before it. */
const JOINED = /^[\p{Mn}\p{Me}\p{Cf}\u1160-\u11ff]$/u;
/** Where a line may end: a date keeps its time, a number its unit, hours their minutes. */
const BREAKS = /(?<!\d (?:d|h|min)(?= \d)) (?!\d\d:\d\d|(?:ms|s|min|h|d|B|[KMGTP]iB)\b)/;
const PLAIN = /^[\u0020-\u007e]*$/;

/** How many columns `text` takes on a terminal. Colours take none. */
export function widthOf(text: string): number {
  if (PLAIN.test(text)) return text.length;
  let width = 0;
  for (const character of stripVTControlCharacters(text)) width += widthOfCharacter(character);
  return width;
}

function widthOfCharacter(character: string): number {
  if (character <= '\u007e') return 1;
  if (JOINED.test(character)) return character === '\u00ad' ? 1 : 0;
  return WIDE.test(character) ? 2 : 1;
}

/** `text`, which has no colours, or its beginning and `ellipsis`, in at most `width` columns. */
export function cut(text: string, width: number, ellipsis = '…'): string {
  if (widthOf(text) <= width) return text;
  return `${beginning(text, width - widthOf(ellipsis))}${ellipsis}`;
}

/** As much from the start of `text` as fits. */
function beginning(text: string, width: number): string {
  let taken = '';
  let left = width;
  for (const character of text) {
    left -= widthOfCharacter(character);
    if (left < 0) break;
    taken += character;
  }
  return taken;
}

export function padded(text: string, width: number, align: 'left' | 'right' = 'left'): string {
  const space = ' '.repeat(Math.max(width - widthOf(text), 0));
  return align === 'right' ? `${space}${text}` : `${text}${space}`;
}

/**
 * `text` after `first`, in lines of at most `width` columns; the lines that follow are indented as far as `first` is wide. Words stay whole
 * where they fit, and only they may have colours.
 */
export function hanging(first: string, text: string, width: number): readonly string[] {
  return flowing(first, text.split(BREAKS), { width, between: ' ' });
}

/** As `hanging`, of parts that stay whole, with `between` them where they share a line. */
export function flowing(
  first: string,
  parts: readonly string[],
  { width, between }: { readonly width: number; readonly between: string },
): readonly string[] {
  const indent = ' '.repeat(widthOf(first));
  const room = Math.max(width - indent.length, 1);
  const lines: string[] = [];
  for (const part of parts.flatMap((whole) => pieces(whole, room))) {
    const longer = `${lines.at(-1) ?? ''}${between}${part}`;
    if (lines.length > 0 && widthOf(longer) <= room) lines[lines.length - 1] = longer;
    else lines.push(part);
  }
  if (lines.length === 0) lines.push('');
  return lines.map((line, index) => `${index === 0 ? first : indent}${line}`.trimEnd());
}

function pieces(part: string, room: number): readonly string[] {
  if (widthOf(part) <= room) return [part];
  const found: string[] = [];
  let rest = stripVTControlCharacters(part);
  while (rest !== '') {
    // A wide character goes onto a line that has no room for it rather than nowhere.
    const piece = beginning(rest, room) || (Array.from(rest)[0] ?? '');
    found.push(piece);
    rest = rest.slice(piece.length);
  }
  return found;
}
