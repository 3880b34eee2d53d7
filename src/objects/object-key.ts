import { assume } from '../core/must.ts';

const KEY = /^[a-z0-9][a-z0-9._-]{0,127}(?:\/[a-z0-9][a-z0-9._-]{0,127})*$/;
const PREFIX = /^(?:[a-z0-9][a-z0-9._-]{0,127}\/)*(?:[a-z0-9][a-z0-9._-]{0,127})?$/;
const LONGEST_KEY = 512;

/** Whether `text` is a key as `ObjectStore` documents it. */
export function isObjectKey(text: string): boolean {
  return text.length <= LONGEST_KEY && KEY.test(text);
}

/** Keys are made by code, so a bad one is a bug. @throws BugError */
export function assertObjectKey(key: string): void {
  assume(isObjectKey(key), `an object key, not ${JSON.stringify(key.slice(0, 80))}`);
}

/** The beginning of a key: empty, whole parts, or a piece of the last part. @throws BugError */
export function assertKeyPrefix(prefix: string): void {
  assume(
    prefix.length <= LONGEST_KEY && PREFIX.test(prefix),
    `the beginning of a key, not ${JSON.stringify(prefix.slice(0, 80))}`,
  );
}

/** A range that `read` can serve. @throws BugError */
export function assertOffset(offset: number): void {
  assume(Number.isSafeInteger(offset) && offset >= 0, `an offset, not ${offset}`);
}
