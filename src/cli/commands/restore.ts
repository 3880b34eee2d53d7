import type { RestoreResult, RestoreUndoResult } from '../../app/results.ts';
import { printable } from '../../core/printable.ts';
import type { Command } from '../command.ts';
import { formatCount, formatNumberOf, formatSize } from '../format.ts';
import { markText, printSkipped } from '../mark-text.ts';
import type { Printer } from '../printer.ts';
import type { restoreSpec } from '../table/restoring.ts';
import { notYet } from './not-yet.ts';

export const restore: Command<typeof restoreSpec, RestoreResult | RestoreUndoResult> = {
  async run() {
    return notYet('restore');
  },
  print(result, printer) {
    if ('mark' in result) {
      printRestored(result, printer);
      return;
    }
    for (const { store, into, keptAside } of result.stores) {
      printer.line(`${store}  ${printable(into)}${asideText(keptAside)}`);
    }
  },
};

function printRestored({ mark, stores }: RestoreResult, printer: Printer): void {
  printer.line(`restored to mark ${markText(mark, printer)}`);
  for (const store of stores) {
    const verified = store.verified ? printer.paint('green', 'verified') : printer.paint('yellow', 'not verified');
    const reused = store.reusedBytes > 0 ? `, ${formatSize(store.reusedBytes)} were there already` : '';
    printer.line(`${printer.paint('bold', store.store)} into ${printable(store.into)}${asideText(store.keptAside)}`);
    printer.line(
      `  ${formatNumberOf(store.entries, 'entry', 'entries')}, ${formatSize(store.bytes)}${reused}, ${verified}`,
    );
    for (const note of store.notes) printer.line(`  note: ${printable(note)}`);
    if (store.noteCount > store.notes.length) {
      printer.line(`  and ${formatCount(store.noteCount - store.notes.length)} more notes`);
    }
    printSkipped(store.skipped, store.skippedCount, printer);
  }
}

function asideText(keptAside: string | undefined): string {
  return keptAside === undefined ? '' : `; what was there is kept as ${printable(keptAside)}`;
}
