import { backup as takeBackup } from '../../app/backup.ts';
import type { BackupResult, BackupStoreResult } from '../../app/results.ts';
import { openApplication } from '../application.ts';
import type { Command } from '../command.ts';
import { INCOMPLETE } from '../exit-status.ts';
import { formatCount, formatSize } from '../format.ts';
import { markText, printSkipped } from '../mark-text.ts';
import type { backupSpec } from '../table/backing-up.ts';

export const backup: Command<typeof backupSpec, BackupResult> = {
  async run(context, { stores }, { name, tag, dryRun, allowEmpty, oneFileSystem }) {
    await using application = await openApplication(context);
    const overrides = oneFileSystem ? { oneFileSystem } : {};
    const request = { stores, name, tags: tag, dryRun, allowEmpty, overrides };
    const result = await takeBackup(application, request, context.run);
    const isIncomplete =
      result.stores.some(({ incompleteCount }) => incompleteCount > 0) || result.mark?.state === 'partial';
    return { result, ...(isIncomplete ? { status: INCOMPLETE } : {}) };
  },
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
};

function storeRow({ store, entries, bytes, newBytes, storedBytes }: BackupStoreResult): readonly string[] {
  return [store, formatCount(entries), formatSize(bytes), formatSize(newBytes), formatSize(storedBytes)];
}
