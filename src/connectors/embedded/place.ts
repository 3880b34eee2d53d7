import { basename, dirname, join } from 'node:path';

/** An embedded store as the manifest has it: the file's absolute path. */
export type EmbeddedPlace = { readonly file: string };

/** What one restore puts beside the file. */
export type Beside = {
  /** The store in the making. */
  readonly fresh: string;
  /** What was there before. */
  readonly aside: string;
  /** What becomes `aside` at the end of an undo. */
  readonly nextAside: string;
};

export function besideOf(file: string, id: string): Beside {
  const named = (what: string): string => join(dirname(file), `.${basename(file)}.tidemark-${what}-${id}`);
  return { fresh: named('new'), aside: named('aside'), nextAside: named('next') };
}
