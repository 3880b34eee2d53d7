import type { ErrorCode } from './error-codes.ts';
import { isTidemarkError, TidemarkError } from './errors.ts';
import type { StoredEntry } from './restorer.ts';

/** Decodes what is stored of an entry, as a restore would. @throws what `isUndecodable` knows where that can't be done */
export type EntryCheck = (entry: StoredEntry) => void;

const CODES: ReadonlySet<ErrorCode> = new Set([
  'REPOSITORY_DAMAGED',
  'REPOSITORY_NEWER',
  'PATH_ESCAPES',
  'UNSUPPORTED',
]);

/** Whether an error says that what is stored can't be decoded, rather than that it can't be reached. */
export function isUndecodable(error: unknown): error is TidemarkError {
  return isTidemarkError(error) && CODES.has(error.code);
}

/** Why an entry can't be decoded; undefined where it can. */
export function undecodable<Entry>(check: (entry: Entry) => void, entry: Entry): TidemarkError | undefined {
  try {
    check(entry);
    return undefined;
  } catch (error) {
    if (!isUndecodable(error)) throw error;
    return error;
  }
}

/** What `decode` makes of an entry, for whoever restores: where it can't, the error says which entry it is. */
export function decoded<T>(decode: () => T, name: () => string): T {
  try {
    return decode();
  } catch (error) {
    if (!isUndecodable(error)) throw error;
    throw new TidemarkError(error.code, `${name()}: ${error.message}`, { cause: error });
  }
}
