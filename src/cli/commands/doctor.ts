import { diagnose } from '../../app/doctor.ts';
import type { DoctorResult } from '../../app/results.ts';
import type { Finding } from '../../core/finding.ts';
import { printable } from '../../core/printable.ts';
import { appContext } from '../application.ts';
import type { Command } from '../command.ts';
import { DONE, FINDINGS } from '../exit-status.ts';
import { formatNumberOf } from '../format.ts';
import type { Style } from '../printer.ts';
import type { doctorSpec } from '../table/setting-up.ts';

const STYLES: Readonly<Record<'error' | 'warning' | 'note', Style>> = { error: 'red', warning: 'yellow', note: 'dim' };

export const doctor: Command<typeof doctorSpec, DoctorResult> = {
  async run(context, { stores }) {
    const result = await diagnose(await appContext(context), stores, context.run);
    const hasError = result.findings.some(({ severity }) => severity === 'error');
    return { result, status: hasError ? FINDINGS : DONE };
  },
  isReport: ({ findings }) => findings.length === 0,
  print({ findings }, printer) {
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

function countsText(findings: DoctorResult['findings']): string {
  const count = (severity: Finding['severity']): number => findings.filter((item) => item.severity === severity).length;
  return [
    formatNumberOf(count('error'), 'error'),
    formatNumberOf(count('warning'), 'warning'),
    formatNumberOf(count('note'), 'note'),
  ].join(', ');
}
