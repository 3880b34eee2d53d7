import { ACCEPT_ROLLBACK } from '../core/error-codes.ts';
import { TidemarkError } from '../core/errors.ts';
import type { Finding } from '../core/finding.ts';
import type { Catalogue } from '../repository/catalogue.ts';
import type { Head } from '../repository/records/heads.ts';

/** What this host saw and what is gone. */
export function lostHeads(catalogue: Catalogue, remembered: readonly Head[]): readonly string[] {
  const seen = new Set(remembered.map(({ session }) => session));
  return catalogue.discontinuities.filter(({ session }) => seen.has(session)).map(({ message }) => message);
}

/** Nothing is added to a repository that has lost what this host saw in it. @throws REPOSITORY_ROLLED_BACK */
export function refuseRollback(catalogue: Catalogue, remembered: readonly Head[]): void {
  const [first] = lostHeads(catalogue, remembered);
  if (first !== undefined) {
    throw new TidemarkError('REPOSITORY_ROLLED_BACK', `the repository was rolled back: ${first}`);
  }
}

/** @throws REPOSITORY_ROLLED_BACK when the operator expects another state (`--expect-head`) */
export function expectHead(catalogue: Catalogue, expected: string | undefined): void {
  if (expected === undefined || expected === catalogue.fingerprint) return;
  throw new TidemarkError(
    'REPOSITORY_ROLLED_BACK',
    `the repository’s head is ${catalogue.fingerprint}, not ${expected}`,
    {
      hint: 'Either something was added since, or the storage was reverted; compare with `tidemark marks`.',
    },
  );
}

/** What `lostHeads` tells, as a finding. */
export function rolledBack(message: string): Finding {
  return {
    code: 'REPOSITORY_ROLLED_BACK',
    severity: 'error',
    message: `the repository was rolled back: ${message}`,
    hint: `Find out who replaced or reverted the storage. ${ACCEPT_ROLLBACK}`,
  };
}
