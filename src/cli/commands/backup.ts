import type { OpenApplication } from '../../app/application.ts';
import { backup as takeBackup } from '../../app/backup.ts';
import type { BackupRequest } from '../../app/backup.ts';
import type { BackupResult, BackupStoreResult } from '../../app/results.ts';
import { errorCodes } from '../../core/error-codes.ts';
import { TidemarkError } from '../../core/errors.ts';
import { openApplication } from '../application.ts';
import type { Command } from '../command.ts';
import type { CommandContext } from '../context.ts';
import { DONE, INCOMPLETE, mostSerious } from '../exit-status.ts';
import { formatCount, formatSize } from '../format.ts';
import { markText, printSkipped } from '../mark-text.ts';
import type { backupSpec } from '../table/backing-up.ts';

export const backup: Command<typeof backupSpec, BackupResult> = {
  async run(context, { stores }, { name, tag, dryRun, allowEmpty, takeOver, oneFileSystem }) {
    await using application = await openApplication(context);
    const overrides = oneFileSystem ? { oneFileSystem } : {};
    const request = { stores, name, tags: tag, dryRun, allowEmpty, takeOver, overrides };
    const result =
      (await askUp(application, request, context)) ?? (await takeBackup(application, request, context.run));
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

/** A process that records takes the bases itself: what it follows goes on from them. A dry run writes nothing that it could meet. */
async function askUp(
  { stateFolder, context: { configuration } }: OpenApplication,
  { dryRun, overrides, stores, name, tags, allowEmpty }: BackupRequest,
  context: CommandContext,
): Promise<BackupResult | undefined> {
  if (dryRun) return undefined;
  const { askAgent } = await import('../../agent/socket-client.ts');
  const onNews = (message: string): void => context.show((printer) => printer.line(message));
  const own = configuration?.application;
  const request = { command: 'backup', application: own, stores, name, tags, allowEmpty } as const;
  if (Object.keys(overrides).length > 0) {
    if ((await askAgent(stateFolder, { command: 'status' }, { onNews }, context.run)) === undefined) return undefined;
    throw new TidemarkError('USAGE', '--one-file-system can’t be given while `tidemark up` runs', {
      hint: 'Set it in the manifest, or stop `up` meanwhile.',
    });
  }
  const answer = await askAgent(stateFolder, request, { onNews }, context.run);
  return answer as unknown as BackupResult | undefined; // what this version's `up` answers
}

function statusOf({ stores, failed, mark }: BackupResult): number {
  const isIncomplete = stores.some(({ incompleteCount }) => incompleteCount > 0) || mark?.state === 'partial';
  return mostSerious([...failed.map(({ code }) => errorCodes[code].exit), isIncomplete ? INCOMPLETE : DONE]);
}

function storeRow({ store, entries, bytes, newBytes, storedBytes }: BackupStoreResult): readonly string[] {
  return [store, formatCount(entries), formatSize(bytes), formatSize(newBytes), formatSize(storedBytes)];
}
