import type { NearestResult, PlanResult } from '../app/results.ts';
import { printable } from '../core/printable.ts';
import { formatDuration, formatNumberOf, formatSize } from './format.ts';
import { markText } from './mark-text.ts';
import type { Printer } from './printer.ts';

type Lines = Pick<Printer, 'line' | 'paint' | 'time' | 'moment'>;
type PlanStore = PlanResult['stores'][number];

/** What a restore would do, for `plan` and before `restore` asks. */
export function printPlan(plan: PlanResult, printer: Printer): void {
  const { stores, estimateMs, sideEffects, blockers } = plan;
  for (const line of targetLines(plan, printer)) printer.line(line);
  for (const store of stores.toSorted((left, right) => left.order - right.order)) {
    const into = store.into === '' ? 'a place that has to be named' : printable(store.into);
    printer.line(`${printer.paint('bold', store.store)} into ${into}`);
    for (const line of storeLines(store, printer)) printer.line(`  ${line}`);
  }
  if (estimateMs !== undefined) {
    printer.line(`may take ${formatDuration(estimateMs)}, by what the last restores took`);
  }
  for (const effect of sideEffects) printer.line(`${printer.paint('yellow', 'note')} ${printable(effect)}`);
  for (const blocker of blockers) printer.line(`${printer.paint('red', 'in the way')} ${printable(blocker)}`);
}

function targetLines({ mark, at, distanceMs, stores }: PlanResult, printer: Lines): readonly string[] {
  if (mark === undefined) return [ownAimText({ at, stores }, printer)];
  const asked =
    at === undefined || distanceMs === undefined
      ? []
      : [
          `  the newest ${mark.state === 'complete' ? 'complete mark' : 'mark with all that is named'} at or before ${printer.moment(at)}, ${formatDuration(distanceMs)} before it`,
        ];
  return [`to mark ${markText(mark, printer)}`, ...asked];
}

/** How a restore without a mark is called. */
export function ownAimText(
  { at, stores }: Pick<PlanResult, 'at'> & { readonly stores: readonly Pick<PlanStore, 'store' | 'position'>[] },
  printer: Pick<Printer, 'moment'>,
): string {
  if (at !== undefined) return `each store as near to ${printer.moment(at)} as its own log allows`;
  return stores.map(({ store, position }) => `${printable(store)} to its position ${position.resume}`).join(', ');
}

function storeLines(store: PlanStore, printer: Lines): readonly string[] {
  const { nearest, exact, baseAt, segments, logBytes, downloadBytes, freeBytes } = store;
  const log = segments === 0 ? '' : `, then ${formatNumberOf(segments, 'segment')} of log (${formatSize(logBytes)})`;
  return [
    ...(nearest === undefined ? [] : [nearestText(nearest, exact, printer)]),
    `base of ${printer.time(baseAt)}${log}, ${exact === 'observation' ? 'as it was read' : `exact to the ${exact}`}`,
    `to bring back: ${formatSize(downloadBytes)} at most${freeBytes === undefined ? '' : `; ${formatSize(freeBytes)} are free there`}`,
    effectText(store),
    ...lostLines(store),
  ];
}

/** When a place was committed, and how near that is to the time that was asked for. */
export function nearestText(
  { at, distanceMs, covered }: NearestResult,
  exact: PlanStore['exact'],
  printer: Lines,
): string {
  if (distanceMs === 0) return `as of ${printer.moment(at)}, exactly`;
  const between = covered
    ? `nothing ${exact === 'observation' ? 'was seen to change' : 'is recorded'} in between`
    : printer.paint('yellow', 'what happened in between is not in the repository');
  return `as of ${printer.moment(at)}, ${formatDuration(distanceMs)} before: ${between}`;
}

function lostLines({ lostAfterMs, newerMs }: PlanStore): readonly string[] {
  const upTo = [
    ...(lostAfterMs > 0 ? [`${formatDuration(lostAfterMs)} up to the newest complete mark`] : []),
    ...(newerMs > 0 ? [`${formatDuration(newerMs)} up to the newest that is there of this store`] : []),
  ];
  return upTo.length === 0 ? [] : [`what came after is not in it: ${upTo.join(', ')}`];
}

function effectText({ into, replaces, inOneStep }: PlanStore): string {
  if (replaces === undefined) return 'what is there is not known';
  if (!replaces) return 'nothing is there yet';
  if (!into.startsWith('/')) return 'what is there is kept on this host, and replaced';
  return `exchanged with what is there, ${inOneStep ? 'in one step' : 'one after another, not in one step'}`;
}
