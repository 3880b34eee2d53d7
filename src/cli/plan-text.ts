import type { PlanResult } from '../app/results.ts';
import { printable } from '../core/printable.ts';
import { formatDuration, formatSize } from './format.ts';
import { markText } from './mark-text.ts';
import type { Printer } from './printer.ts';

/** What a restore would do, for `plan` and before `restore` asks. */
export function printPlan({ mark, stores, sideEffects, blockers }: PlanResult, printer: Printer): void {
  printer.line(`to mark ${markText(mark, printer)}`);
  for (const store of stores.toSorted((left, right) => left.order - right.order)) {
    const exact = store.exact === 'observation' ? 'as it was read' : `exact to the ${store.exact}`;
    printer.line(`${printer.paint('bold', store.store)} into ${printable(store.into)}`);
    printer.line(
      `  to bring back: ${formatSize(store.downloadBytes)} at most, ${exact}; ${formatSize(store.freeBytes)} are free there`,
    );
    printer.line(`  ${effectText(store)}`);
    if (store.lostAfterMs > 0) {
      printer.line(
        `  what came after is not in it: ${formatDuration(store.lostAfterMs)} up to the newest complete mark`,
      );
    }
  }
  for (const effect of sideEffects) printer.line(`${printer.paint('yellow', 'note')} ${printable(effect)}`);
  for (const blocker of blockers) printer.line(`${printer.paint('red', 'in the way')} ${printable(blocker)}`);
}

function effectText({ replaces, inOneStep }: PlanResult['stores'][number]): string {
  if (!replaces) return 'nothing is there yet';
  return `exchanged with what is there, ${inOneStep ? 'in one step' : 'one after another, not in one step'}`;
}
