import { TidemarkError } from '../core/errors.ts';
import type { Run } from '../core/run.ts';
import type { OpenApplication } from './application.ts';
import type { StatusResult } from './results.ts';

/** How everything runs now. */
export function status(_application: OpenApplication, _run: Run): Promise<StatusResult> {
  return Promise.reject(new TidemarkError('UNSUPPORTED', 'status comes with logs'));
}
