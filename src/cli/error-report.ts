import { ManifestError, mistakeLine } from '../config/mistakes.ts';
import { errorCodes } from '../core/error-codes.ts';
import { isTidemarkError } from '../core/errors.ts';
import type { InputPlace } from '../core/errors.ts';
import { printable } from '../core/printable.ts';
import { decisiveError } from './exit-status.ts';

/** An error as `--json` prints it. */
export type ErrorLine = {
  readonly code: string;
  readonly message: string;
  readonly hint: string;
  readonly where?: InputPlace | undefined;
  /** Of a manifest: every mistake, not only the first. */
  readonly mistakes?: readonly (InputPlace & { readonly message: string })[] | undefined;
};

export function errorLine(thrown: unknown): ErrorLine {
  const error = decisiveError(thrown);
  if (!isTidemarkError(error)) return { code: 'BUG', message: messageOf(error), hint: errorCodes.BUG.action };
  return {
    code: error.code,
    message: printable(error.message),
    hint: error.hint,
    where: error.where,
    mistakes: error instanceof ManifestError ? mistakesIn(error) : undefined,
  };
}

/** The same for people: the mistakes of a manifest a line each, else one line and what to do. */
export function errorText(thrown: unknown): readonly string[] {
  const error = decisiveError(thrown);
  if (error instanceof ManifestError) {
    const more = error.mistakeCount - error.mistakes.length;
    const lines = error.mistakes.map((mistake) => printable(mistakeLine(mistake)));
    return more > 0 ? [...lines, `and ${more} more`] : lines;
  }
  const { message, hint } = errorLine(error);
  return hint === '' ? [`error: ${message}`] : [`error: ${message}`, `hint: ${printable(hint)}`];
}

function mistakesIn({ mistakes }: ManifestError): ErrorLine['mistakes'] {
  return mistakes.map(({ file, place, key, message }) => ({
    file,
    line: place?.line,
    column: place?.column,
    key,
    message,
  }));
}

function messageOf(error: unknown): string {
  return printable(error instanceof Error ? `${error.name}: ${error.message}` : String(error));
}
