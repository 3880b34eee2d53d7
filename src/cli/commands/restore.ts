import type { PlanResult, RestoreResult, RestoreUndoResult } from '../../app/results.ts';
import { printable } from '../../core/printable.ts';
import type { Command, OptionsOf } from '../command.ts';
import { DAMAGED, INCOMPLETE } from '../exit-status.ts';
import { formatCount, formatNumberOf, formatSize } from '../format.ts';
import { markText, printSkipped } from '../mark-text.ts';
import type { Printer } from '../printer.ts';
import { safeName, shortened } from '../shown-name.ts';
import type { restoreSpec } from '../table/restoring.ts';
import { carryOut, prepareRestore, resumeRestore } from '../../app/restore.ts';
import { discardRestores, listLeftovers, undoRestore } from '../../app/restore-aside.ts';
import { TidemarkError } from '../../core/errors.ts';
import { keepFreedMemory } from '../../io/native-memory.ts';
import type { Leftover } from '../../app/restore-aside.ts';
import { openApplication, withReader } from '../application.ts';
import type { CommandContext } from '../context.ts';
import { markHeapAtOnce } from '../heap-flags.ts';
import { nearestText, ownAimText, printPlan } from '../plan-text.ts';
import { restoreRequest } from '../restore-request.ts';

export const restore: Command<typeof restoreSpec, RestoreResult | RestoreUndoResult> = {
  async run(context, { stores }, options) {
    refuseMixed(stores, options);
    if (options.undo || options.discard) {
      await using application = await openApplication(context);
      if (options.undo) return { result: await undoRestore(application, stores, context.run) };
      await confirmDiscard(context, {
        leftovers: await listLeftovers(application, stores, context.run),
        yes: options.yes,
      });
      return { result: await discardRestores(application, stores, context.run) };
    }
    keepFreedMemory();
    markHeapAtOnce();
    const request = options.resume ? undefined : await restoreRequest(context, stores, options);
    const result = await withReader(context, async (application, reader) => {
      if (request === undefined) return await resumeRestore(application, reader, options.replace, context.run);
      const plan = await prepareRestore(application, reader, request, context.run);
      if (plan.result.blockers.length === 0) await confirmPlan(context, { plan: plan.result, yes: options.yes });
      return await carryOut(application, reader, plan, context.run);
    });
    if (result.stores.some(({ damagedCount }) => damagedCount > 0)) return { result, status: DAMAGED };
    const partial = result.mark?.partial ?? [];
    if (partial.length === 0 || stores.length > 0) return { result };
    const warning = `the mark is partial: it has no base of ${partial.join(', ')}, so nothing of it was restored`;
    return { result, warnings: [warning], status: INCOMPLETE };
  },
  print(result, printer) {
    if ('action' in result) for (const item of result.stores) printer.line(undoneText(item, printer));
    else printRestored(result, printer);
  },
  isReport: () => true,
  printTrouble(result, printer) {
    if ('action' in result) return;
    for (const store of result.stores) {
      const skipped = store.skipped.filter(({ incomplete }) => incomplete);
      if (store.damagedCount + store.noteCount + skipped.length === 0) continue;
      printer.line(`${store.store}:`);
      printMissing({ ...store, skipped, skippedCount: skipped.length }, printer);
    }
  },
};

const ANSWER_YES = 'Answer y to go on, or give --yes.';

type RestoreOptions = OptionsOf<(typeof restoreSpec)['options']>;

/** @throws USAGE when several things are asked for at once, or what does not belong together */
function refuseMixed(
  stores: readonly string[],
  { to, resume, undo, discard, into, only, replace, skipDamaged, perStore, standby }: RestoreOptions,
): void {
  if ([resume, undo, discard, to !== undefined].filter(Boolean).length > 1) {
    throw new TidemarkError('USAGE', 'only one of --to, --resume, --undo and --discard can be given');
  }
  const places = [...into, ...only, ...(resume ? [] : replace)];
  if ((resume || undo || discard) && (places.length > 0 || skipDamaged || perStore || standby)) {
    throw new TidemarkError(
      'USAGE',
      '--into, --only, --per-store, --skip-damaged and, but for --resume, --replace belong to --to: the restore that was begun has its own',
    );
  }
  if (resume && stores.length > 0) {
    throw new TidemarkError('USAGE', '--resume finishes all stores of the restore that was cut off', {
      hint: 'Name no store.',
    });
  }
}

function printRestored({ mark, at, stores }: RestoreResult, printer: Printer): void {
  printer.line(
    mark === undefined
      ? `restored ${ownAimText({ at, stores }, printer)}`
      : `restored to mark ${markText(mark, printer)}`,
  );
  for (const store of stores) {
    const verified = store.verified ? printer.paint('green', 'verified') : printer.paint('yellow', 'not verified');
    const reused = store.reusedBytes > 0 ? `, ${formatSize(store.reusedBytes)} were there already` : '';
    printer.line(`${printer.paint('bold', store.store)} into ${printable(store.into)}${asideText(store.keptAside)}`);
    if (store.nearest !== undefined) printer.line(`  ${nearestText(store.nearest, store.exact, printer)}`);
    printer.line(
      `  ${formatNumberOf(store.entries, 'entry', 'entries')}, ${formatSize(store.bytes)}${reused}${logText(store)}, ${verified}`,
    );
    printMissing(store, printer);
  }
}

function logText({ segments = 0 }: RestoreResult['stores'][number]): string {
  return segments === 0 ? '' : `, then ${formatNumberOf(segments, 'segment')} of log`;
}

/** What is not as it was. */
function printMissing(store: RestoreResult['stores'][number], printer: Printer): void {
  printDamaged(store, printer);
  for (const note of store.notes) printer.line(`  note: ${shortened(printable(note))}`);
  if (store.noteCount > store.notes.length) {
    printer.line(`  and ${formatCount(store.noteCount - store.notes.length)} more notes`);
  }
  printSkipped(store.skipped, store.skippedCount, printer);
}

function printDamaged({ damaged, damagedCount }: RestoreResult['stores'][number], printer: Printer): void {
  for (const name of damaged.slice(0, MOST_DAMAGED)) {
    printer.line(`  ${printer.paint('red', 'damaged')} ${shortened(safeName(name))}: left out`);
  }
  const more = damagedCount - Math.min(damaged.length, MOST_DAMAGED);
  if (more > 0) printer.line(`  and ${formatCount(more)} more damaged`);
}

const MOST_DAMAGED = 20;

function undoneText(
  { store, into, holds, givenUp, state, keptAside }: RestoreUndoResult['stores'][number],
  printer: Printer,
): string {
  const name = printer.paint('bold', store);
  if (givenUp !== undefined) {
    return `${name}: the restore into ${printable(into)} is given up; ${printable(state ?? '')}`;
  }
  if (holds === undefined) return `${name}: what a restore had left beside ${printable(into)} is deleted`;
  const [now, other] = holds === 'before' ? ['before the restore', 'was restored'] : ['restored', 'was there before'];
  const kept = keptAside === undefined ? '' : `; what ${other} is kept as ${printable(keptAside)}`;
  return `${name} in ${printable(into)} is as it was ${now}${kept}`;
}

function asideText(keptAside: string | undefined): string {
  return keptAside === undefined ? '' : `; what was there is kept as ${printable(keptAside)}`;
}

/**
 * Old data can't be had back: on a terminal it asks. @throws INTERRUPTED when the answer is no; USAGE where nobody can answer and more would be deleted
 * than what an unfinished restore has written
 */
async function confirmDiscard(
  context: CommandContext,
  options: { readonly leftovers: readonly Leftover[]; readonly yes: boolean },
): Promise<void> {
  const { leftovers, yes } = options;
  if (yes || leftovers.length === 0) return;
  if (!context.prompter.available) {
    const kept = leftovers.flatMap(({ keptAside, state }) => (state === undefined ? (keptAside ?? []) : []));
    if (kept.length === 0) return;
    throw new TidemarkError('USAGE', `it would delete for ever what restores kept aside: ${kept.join(', ')}`, {
      hint: 'Add --yes when none of it is needed any more; name a store to delete only what was kept of that.',
    });
  }
  context.show((printer) => {
    for (const { store, into, keptAside, state } of leftovers) {
      const lost = state === undefined ? undefined : `is given up, nothing of it is deleted; ${state}`;
      const what = lost ?? keptAside ?? `what an unfinished restore has written beside ${into}`;
      printer.line(`${printer.paint('bold', store)}: ${printable(what)}`);
    }
  });
  if (await context.prompter.confirm('Delete for ever?', context.run)) return;
  throw new TidemarkError('INTERRUPTED', 'nothing was deleted', { hint: ANSWER_YES });
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
  throw new TidemarkError('INTERRUPTED', 'nothing was restored', { hint: ANSWER_YES });
}
