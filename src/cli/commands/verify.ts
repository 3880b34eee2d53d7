import type { VerifyResult } from '../../app/results.ts';
import { TidemarkError } from '../../core/errors.ts';
import { printable } from '../../core/printable.ts';
import type { Command } from '../command.ts';
import { DAMAGED } from '../exit-status.ts';
import { formatNumberOf, formatSize } from '../format.ts';
import type { verifySpec } from '../table/keeping.ts';
import { verify as verifyApplication } from '../../app/verify.ts';
import { openApplication } from '../application.ts';

export const verify: Command<typeof verifySpec, VerifyResult> = {
  async run(context, _args, { data, sample }) {
    if (data && sample !== undefined) {
      throw new TidemarkError('USAGE', '--data reads every byte and --sample a share of them: give one of the two');
    }
    await using application = await openApplication(context);
    const share = data ? 1 : (sample ?? 0);
    const result = await verifyApplication(application, { share }, context.run);
    return { result, ...(result.damage.length > 0 ? { status: DAMAGED } : {}) };
  },
  isReport: ({ damage }) => damage.length === 0,
  print({ checked, damage }, printer) {
    for (const { object, kind, message, affects } of damage) {
      printer.line(`${printer.paint('red', 'damaged')} ${kind} ${printable(object)}: ${printable(message)}`);
      for (const what of affects) printer.line(`  affects ${printable(what)}`);
    }
    const amount = `${formatNumberOf(checked.bases, 'base')}, ${formatNumberOf(checked.chunks, 'chunk')}, ${formatSize(checked.bytes)} read`;
    printer.line(
      damage.length === 0
        ? `${printer.paint('green', 'No damage')}: ${amount}`
        : `${formatNumberOf(damage.length, 'damaged object')}; ${amount}`,
    );
  },
};
