import type { RetentionResult } from '../app/results.ts';
import { formatNumberOf, formatSize } from './format.ts';
import type { Printer } from './printer.ts';

/** What retention or a sweep took, or would take. */
export function printRetention(result: RetentionResult, printer: Printer): void {
  const { kept, removed, condemned, freedBytes, freeAfter, applied } = result;
  for (const what of removed) printer.line(`${applied ? 'removed' : 'would go'}  ${what}`);
  const parts = [
    kept.length > 0 ? `${formatNumberOf(kept.length, 'mark')} kept` : '',
    removed.length > 0 ? `${formatNumberOf(removed.length, 'mark')} ${applied ? 'removed' : 'would go'}` : '',
    condemned.length > 0
      ? `${formatNumberOf(condemned.length, 'pack')} ${applied ? 'condemned' : 'would be condemned'}`
      : '',
    freedBytes > 0 ? `${formatSize(freedBytes)} ${applied ? 'freed' : 'would be freed'}` : '',
  ].filter((part) => part !== '');
  printer.line(parts.length === 0 ? 'Nothing to do.' : parts.join(', '));
  if (freeAfter !== undefined) printer.line(`what is condemned can be freed after ${printer.time(freeAfter)}`);
  if (!applied) printer.line('Nothing was changed; --apply does it.');
}
