import { backup as takeBackup } from '../../app/backup.ts';
import type { BackupResult, BackupStoreResult } from '../../app/results.ts';
import { errorCodes } from '../../core/error-codes.ts';
import { openApplication } from '../application.ts';
import type { Command } from '../command.ts';
import { DONE, INCOMPLETE, mostSerious } from '../exit-status.ts';
import { formatCount, formatSize } from '../format.ts';
import { markText, printSkipped } from '../mark-text.ts';
import type { backupSpec } from '../table/backing-up.ts';

export const backup: Command<typeof backupSpec, BackupResult> = {
  async run(context, { stores }, { name, tag, dryRun, allowEmpty, oneFileSystem }) {
    await using application = await openApplication(context);
    const overrides = oneFileSystem ? { oneFileSystem } : {};
    const request = { stores, name, tags: tag, dryRun, allowEmpty, overrides };
    const result = await takeBackup(application, request, context.run);
    for (const { store, message, hint } of result.failed) context.warn(`${store} is left out: ${message}. ${hint}`);
    return { result, status: statusOf(result) };
  },
  isReport: ({ dryRun }) => !dryRun,
  print({ mark, stores, dryRun }, printer) {
    printer.table(
      [
        { title: 'store' },
        { title: 'entries', align: 'right' },
        { title: 'size', align: 'right' },
        { title: 'new', align: 'right' },
        { title: 'stored', align: 'right' },
      ],
      stores.map(storeRow),
    );
    for (const { store, skipped, skippedCount } of stores) {
      if (skippedCount === 0) continue;
      printer.line(`${store}:`);
      printSkipped(skipped, skippedCount, printer);
    }
    if (dryRun) printer.line('A dry run: nothing was written.');
    if (mark !== undefined) printer.line(`mark ${markText(mark, printer)}`);
  },
  printTrouble({ stores }, printer) {
    for (const { store, skipped, incompleteCount } of stores) {
      if (incompleteCount === 0) continue;
      printer.line(`${store}:`);
      printSkipped(
        skipped.filter(({ incomplete }) => incomplete),
        incompleteCount,
        printer,
      );
    }
  },
};

function statusOf({ stores, failed, mark }: BackupResult): number {
  const isIncomplete = stores.some(({ incompleteCount }) => incompleteCount > 0) || mark?.state === 'partial';
  return mostSerious([...failed.map(({ code }) => errorCodes[code].exit), isIncomplete ? INCOMPLETE : DONE]);
}

function storeRow({ store, entries, bytes, newBytes, storedBytes }: BackupStoreResult): readonly string[] {
  return [store, formatCount(entries), formatSize(bytes), formatSize(newBytes), formatSize(storedBytes)];
}
