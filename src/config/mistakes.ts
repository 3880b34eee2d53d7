import { errorCodes } from '../core/error-codes.ts';
import { TidemarkError } from '../core/errors.ts';
import type { KeyPath } from '../core/option-schema.ts';
import { excerpt, quoted } from '../core/printable.ts';

/** Line and column count from 1. */
export type Place = { readonly line: number; readonly column: number };

/** One mistake in a manifest. `key` is written as the operator would say it: `stores.orders.exclude[0]`. */
export type Mistake = {
  readonly file: string;
  readonly place?: Place | undefined;
  readonly key?: string | undefined;
  readonly message: string;
};

const MOST_MISTAKES = 50;

/** Everything that is wrong with a manifest. `mistakes` is in the order of the text, bounded; `mistakeCount` counts all. */
export class ManifestError extends TidemarkError {
  readonly mistakes: readonly Mistake[];
  readonly mistakeCount: number;

  constructor(mistakes: readonly Mistake[]) {
    const ordered = inOrder(mistakes);
    super('CONFIG_INVALID', summary(ordered), {
      where: inputPlace(ordered[0]),
      hint: errorCodes.CONFIG_INVALID.action,
    });
    this.mistakes = ordered.slice(0, MOST_MISTAKES);
    this.mistakeCount = ordered.length;
  }
}

/** `tidemark.yaml:14:5: stores.orders.passwrodFile: unknown key; did you mean passwordFile?` */
export function mistakeLine(mistake: Mistake): string {
  const place = mistake.place === undefined ? '' : `:${mistake.place.line}:${mistake.place.column}`;
  const key = mistake.key === undefined || mistake.key === '' ? '' : ` ${mistake.key}:`;
  return `${excerpt(mistake.file, 200)}${place}:${key} ${mistake.message}`;
}

export function keyText(path: KeyPath): string {
  let text = '';
  for (const part of path) {
    if (typeof part === 'number') text += `[${part}]`;
    else text += `${text === '' ? '' : '.'}${/^[\w-]{1,64}$/.test(part) ? part : quoted(part)}`;
  }
  return text;
}

function summary(mistakes: readonly Mistake[]): string {
  const [first] = mistakes;
  if (first === undefined) return 'the manifest has mistakes';
  if (mistakes.length === 1) return mistakeLine(first);
  return `${mistakes.length} mistakes, the first is ${mistakeLine(first)}`;
}

function inOrder(mistakes: readonly Mistake[]): readonly Mistake[] {
  const unique = new Map(mistakes.map((mistake) => [mistakeLine(mistake), mistake]));
  return [...unique.values()].toSorted(
    (left, right) =>
      (left.place?.line ?? 0) - (right.place?.line ?? 0) || (left.place?.column ?? 0) - (right.place?.column ?? 0),
  );
}

function inputPlace(mistake: Mistake | undefined): TidemarkError['where'] {
  if (mistake === undefined) return undefined;
  return { file: mistake.file, line: mistake.place?.line, column: mistake.place?.column, key: mistake.key };
}
