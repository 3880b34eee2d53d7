import type { RestoreRequest } from '../app/restore-plan.ts';
import { TidemarkError } from '../core/errors.ts';

/** What `plan` and `restore` are asked to do. @throws USAGE without a target */
export function restoreRequest(
  stores: readonly string[],
  options: {
    readonly to: string | undefined;
    readonly into: readonly string[];
    readonly only: readonly string[];
    readonly replace: readonly string[];
    readonly perStore: boolean;
    readonly skipDamaged?: boolean | undefined;
  },
): RestoreRequest {
  const { to, into, only, replace, perStore, skipDamaged = false } = options;
  if (to === undefined) {
    throw new TidemarkError('USAGE', 'what to restore to is missing', {
      hint: 'Write --to latest, --to MARK or --to TIME.',
    });
  }
  return { target: to, stores, into, only, replace, perStore, skipDamaged };
}
