import { TidemarkError } from '../core/errors.ts';
import type { Run } from '../core/run.ts';
import type { OpenApplication } from './application.ts';
import type { TimelineResult } from './results.ts';

export type TimelineRequest = {
  /** Names; none means all. */
  readonly stores: readonly string[];
  /** Times as an operator writes them, as `parseTargetTime` takes them. */
  readonly from?: string | undefined;
  readonly to?: string | undefined;
};

/** The history of the stores within a span. @throws USAGE for what is no time or no store */
export function timeline(_application: OpenApplication, _request: TimelineRequest, _run: Run): Promise<TimelineResult> {
  return Promise.reject(new TidemarkError('UNSUPPORTED', 'timeline comes with logs'));
}
