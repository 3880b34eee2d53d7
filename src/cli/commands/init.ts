import type { InitResult } from '../../app/results.ts';
import { printable } from '../../core/printable.ts';
import type { Command } from '../command.ts';
import type { Printer } from '../printer.ts';
import type { initSpec } from '../table/setting-up.ts';
import { notYet } from './not-yet.ts';

export const init: Command<typeof initSpec, InitResult> = {
  async run() {
    return notYet('init');
  },
  print({ repository, created, manifest }, printer) {
    if (manifest !== undefined) {
      printer.line(`Wrote ${printable(manifest)}. Name the stores in it, then run \`tidemark init\` again.`);
      return;
    }
    if (repository === undefined) return;
    if (!created) printer.line(`The repository is already there: ${printable(repository.url)}`);
    else printRecoverySheet(repository, printer);
  },
};

function printRecoverySheet(repository: NonNullable<InitResult['repository']>, printer: Printer): void {
  const url = printable(repository.url);
  printer.line(`Created the repository ${url}`);
  printer.line();
  printer.line(printer.paint('bold', 'Recovery sheet: print it and keep it away from this machine'));
  printer.line(`  repository   ${url}`);
  printer.line(`  id           ${repository.id}`);
  printer.line(`  head         ${repository.headFingerprint}`);
  printer.line(`  restore      tidemark restore --repository ${url} --to latest --into .`);
  printer.line(`  without it   node tidemark-kit.mjs restore ${url} --into .`);
  printer.line('  passphrase   ____________________________________');
  printer.line();
  printer.line(
    printer.paint('yellow', 'Without the passphrase everything is lost: nobody can open the repository then.'),
  );
}
