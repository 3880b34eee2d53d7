import type { DoctorResult } from '../../app/results.ts';
import { printable } from '../../core/printable.ts';
import type { Command } from '../command.ts';
import type { Style } from '../printer.ts';
import type { doctorSpec } from '../table/setting-up.ts';
import { notYet } from './not-yet.ts';

const STYLES: Readonly<Record<'error' | 'warning' | 'note', Style>> = { error: 'red', warning: 'yellow', note: 'dim' };

export const doctor: Command<typeof doctorSpec, DoctorResult> = {
  async run() {
    return notYet('doctor');
  },
  print({ findings }, printer) {
    for (const { severity, store, message, hint } of findings) {
      printer.line(
        `${printer.paint(STYLES[severity], severity)} ${store === undefined ? '' : `${store}: `}${printable(message)}`,
      );
      printer.line(`  ${printable(hint)}`);
    }
    if (findings.length === 0) printer.line('Nothing found: a backup and a restore have all they need.');
  },
};
