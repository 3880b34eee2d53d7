import type { PlanResult, RestoreResult, RestoreUndoResult } from '../../app/results.ts';
import { printable } from '../../core/printable.ts';
import type { Command } from '../command.ts';
import { formatCount, formatNumberOf, formatSize } from '../format.ts';
import { markText, printSkipped } from '../mark-text.ts';
import type { Printer } from '../printer.ts';
import type { restoreSpec } from '../table/restoring.ts';
import { carryOut, discardRestores, prepareRestore, resumeRestore, undoRestore } from '../../app/restore.ts';
import { TidemarkError } from '../../core/errors.ts';
import { openApplication, withReader } from '../application.ts';
import type { CommandContext } from '../context.ts';
import { printPlan } from '../plan-text.ts';
import { restoreRequest } from '../restore-request.ts';

export const restore: Command<typeof restoreSpec, RestoreResult | RestoreUndoResult> = {
  async run(context, { stores }, options) {
    const { resume, undo, discard } = options;
    if ([resume, undo, discard, options.to !== undefined].filter(Boolean).length > 1) {
      throw new TidemarkError('USAGE', 'only one of --to, --resume, --undo and --discard can be given');
    }
    if (undo || discard) {
      await using application = await openApplication(context);
      const result = undo
        ? await undoRestore(application, stores, context.run)
        : await discardRestores(application, context.run);
      return { result };
    }
    const result = await withReader(context, async (application, reader) => {
      if (resume) return await resumeRestore(application, reader, context.run);
      const plan = await prepareRestore(application, reader, restoreRequest(stores, options), context.run);
      if (plan.result.blockers.length === 0) await confirmPlan(context, { plan: plan.result, yes: options.yes });
      return await carryOut(application, reader, plan, context.run);
    });
    return { result };
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

/** Shows what will happen and asks. @throws USAGE where nobody can answer, INTERRUPTED when the answer is no */
async function confirmPlan(
  context: CommandContext,
  options: { readonly plan: PlanResult; readonly yes: boolean },
): Promise<void> {
  if (options.yes) return;
  if (!context.prompter.available) {
    throw new TidemarkError('USAGE', 'a restore asks before it begins, and there is no terminal', {
      hint: 'Look at `tidemark plan`, then add --yes.',
    });
  }
  context.show((printer) => printPlan(options.plan, printer));
  if (await context.prompter.confirm('Restore?', context.run)) return;
  throw new TidemarkError('INTERRUPTED', 'nothing was restored');
}
