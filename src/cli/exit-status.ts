import { errorCodes } from '../core/error-codes.ts';
import { isTidemarkError } from '../core/errors.ts';

/** What the exit statuses mean, for the help and the reference page. */
export const exitStatuses: readonly (readonly [string, string])[] = [
  ['0', 'everything that was asked for happened'],
  ['1', 'failed, such as a full disk or a repository of a newer format'],
  ['2', 'usage or configuration is wrong; nothing was started'],
  ['3', 'finished, but incomplete: an unreadable or ever-changing file, a store left out'],
  ['4', 'the target can’t be reached: outside the window, in a gap, unknown, ambiguous'],
  ['5', 'the repository is damaged'],
  ['6', 'refused: wrong passphrase, missing key, credentials, token'],
  ['7', 'a store or the repository can’t be reached: missing, unwritable, away'],
  ['8', 'busy: another holds it, or this one was fenced off'],
  ['9', 'findings: doctor has found an error, plan something in the way, timeline a gap, status --check an alarm'],
  ['130, 143', 'interrupted, terminated; what was committed stays'],
];

export const DONE = 0;
export const FAILED = 1;
export const INCOMPLETE = 3;
export const DAMAGED = 5;
export const FINDINGS = 9;

/** Where several apply, the first of these is told; what is not in the list comes after. */
const BY_SERIOUSNESS: readonly number[] = [5, 6, 7, 8, 4, 1, 3, 9, 2];

export function mostSerious(statuses: readonly number[]): number {
  return (
    BY_SERIOUSNESS.find((status) => statuses.includes(status)) ?? statuses.find((status) => status !== DONE) ?? DONE
  );
}

/** The status that an error leads to; of several that came together, the most serious. An unknown error is a failure. */
export function exitStatusOf(error: unknown): number {
  return mostSerious(errorsIn(error).map((one) => (isTidemarkError(one) ? errorCodes[one.code].exit : FAILED)));
}

/** An error that others came with, or that happened while another was cleaned up after, as a list. The first one happened first. */
export function errorsIn(error: unknown): readonly unknown[] {
  if (error instanceof SuppressedError) return [...errorsIn(error.suppressed), ...errorsIn(error.error)];
  if (error instanceof AggregateError && error.errors.length > 0) return error.errors.flatMap(errorsIn);
  return [error];
}

/** Of several errors that came together, the one that decides the exit status. */
export function decisiveError(error: unknown): unknown {
  const errors = errorsIn(error);
  const status = exitStatusOf(error);
  return errors.find((one) => exitStatusOf(one) === status) ?? errors[0];
}
