import { acceptRollback } from '../../app/accept-rollback.ts';
import { diagnose } from '../../app/doctor.ts';
import type { DoctorResult } from '../../app/results.ts';
import { TidemarkError } from '../../core/errors.ts';
import type { Finding } from '../../core/finding.ts';
import { printable } from '../../core/printable.ts';
import { appContext } from '../application.ts';
import type { Command } from '../command.ts';
import type { CommandContext } from '../context.ts';
import { DONE, FINDINGS } from '../exit-status.ts';
import { formatNumberOf } from '../format.ts';
import type { Printer, Style } from '../printer.ts';
import type { doctorSpec } from '../table/setting-up.ts';

const STYLES: Readonly<Record<'error' | 'warning' | 'note', Style>> = { error: 'red', warning: 'yellow', note: 'dim' };

export const doctor: Command<typeof doctorSpec, DoctorResult> = {
  async run(context, { stores }, { acceptRollback: accepts, yes }) {
    const app = await appContext(context);
    const confirm = (lost: readonly string[]): Promise<void> => confirmRollback(context, { lost, yes });
    const accepted = accepts ? await acceptRollback(app, confirm, context.run) : undefined;
    const { findings } = await diagnose(app, stores, context.run);
    const hasError = findings.some(({ severity }) => severity === 'error');
    const result = accepted === undefined ? { findings } : { findings, accepted };
    return { result, status: hasError ? FINDINGS : DONE };
  },
  isReport: ({ findings }) => findings.length === 0,
  print({ findings, accepted }, printer) {
    if (accepted !== undefined) printAccepted(accepted, printer);
    for (const { severity, store, message, hint } of findings) {
      printer.line(
        `${printer.paint(STYLES[severity], severity)} ${store === undefined ? '' : `${store}: `}${printable(message)}`,
      );
      printer.line(`  ${printable(hint)}`);
    }
    if (findings.length === 0) printer.line('Nothing found: a backup and a restore have all they need.');
    else printer.line(countsText(findings));
  },
};

function printAccepted(accepted: readonly string[], printer: Printer): void {
  if (accepted.length === 0) printer.line('Nothing that this host has seen in the repository is gone.');
  else printer.line('This host goes on with the repository as it is, without:');
  for (const message of accepted) printer.line(`  ${printable(message)}`);
}

/** Says what is gone and asks. @throws USAGE where nobody can answer, INTERRUPTED when the answer is no */
async function confirmRollback(
  context: CommandContext,
  { lost, yes }: { readonly lost: readonly string[]; readonly yes: boolean },
): Promise<void> {
  if (yes) return;
  if (!context.prompter.available) {
    throw new TidemarkError('USAGE', 'accepting that something is gone is asked for, and there is no terminal', {
      hint: 'Look at `tidemark doctor`, then add --yes.',
    });
  }
  context.show((printer) => {
    for (const message of lost) printer.line(printable(message));
  });
  if (await context.prompter.confirm('Go on without what is gone?', context.run)) return;
  throw new TidemarkError('INTERRUPTED', 'nothing was accepted', { hint: 'Answer y to go on, or give --yes.' });
}

function countsText(findings: DoctorResult['findings']): string {
  const count = (severity: Finding['severity']): number => findings.filter((item) => item.severity === severity).length;
  return [
    formatNumberOf(count('error'), 'error'),
    formatNumberOf(count('warning'), 'warning'),
    formatNumberOf(count('note'), 'note'),
  ].join(', ');
}
