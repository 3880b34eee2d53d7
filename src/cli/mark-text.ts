import type { MarkResult, SkippedResult } from '../app/results.ts';
import { printable } from '../core/printable.ts';
import type { SkipReason } from '../core/recorder.ts';
import { formatCount, formatDuration } from './format.ts';
import type { Printer } from './printer.ts';
import { safeName, shortened } from './shown-name.ts';

/** A mark in one line. Its class and skew are always told: they say how much the stores agree. */
export function markText(mark: MarkResult, printer: Pick<Printer, 'paint' | 'moment'>): string {
  const name = mark.name === undefined ? '' : ` ${printer.paint('bold', printable(mark.name))}`;
  return `${printer.paint('bold', printable(mark.id))}${name}  ${printer.moment(mark.at)}  ${agreementText(mark)}, ${stateText(mark, printer)}`;
}

/** `clock, skew 3.2 s`: the skew is how far apart the stores were read. */
export function agreementText(mark: MarkResult): string {
  return mark.class === 'sealed' ? 'sealed' : `clock, skew ${formatDuration(mark.skewMs)}`;
}

export function stateText({ state, partial }: MarkResult, printer: Pick<Printer, 'paint'>): string {
  if (state === 'complete') return printer.paint('green', 'complete');
  return printer.paint(
    'yellow',
    partial.length === 0 ? state : `${state}: without ${partial.map(printable).join(', ')}`,
  );
}

const MOST_SKIPPED = 20;

const REASONS: Readonly<Record<SkipReason, string>> = {
  unreadable: 'unreadable',
  changed: 'changed',
  vanished: 'vanished',
  special: 'skipped',
  'too-long': 'too long',
  filesystem: 'skipped',
};

/** What is not in a base, or not as it should be. */
export function printSkipped(skipped: readonly SkippedResult[], count: number, printer: Printer): void {
  for (const item of skipped.slice(0, MOST_SKIPPED)) {
    printer.line(
      `  ${printer.paint(item.incomplete ? 'red' : 'dim', REASONS[item.reason])} ${shortened(safeName(item))}: ${shortened(printable(item.message))}`,
    );
  }
  const more = count - Math.min(skipped.length, MOST_SKIPPED);
  if (more > 0) printer.line(`  and ${formatCount(more)} more`);
}
