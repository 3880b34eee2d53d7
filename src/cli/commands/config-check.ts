import type { ConfigCheckResult } from '../../app/results.ts';
import { printable } from '../../core/printable.ts';
import type { Command } from '../command.ts';
import { formatNumberOf } from '../format.ts';
import type { configCheckSpec } from '../table/setting-up.ts';

export const configCheck: Command<typeof configCheckSpec, ConfigCheckResult> = {
  async run(context) {
    const { application, repository, stores } = await context.configuration();
    return {
      result: {
        application,
        repository: repository.url,
        stores: stores.map(({ name, url }) => ({ store: name, url })),
      },
    };
  },
  isReport: () => true,
  print({ application, repository, stores }, printer) {
    printer.line(
      `No mistakes: application ${application}, ${formatNumberOf(stores.length, 'store')}, repository ${printable(repository)}`,
    );
    for (const { store, url } of stores) printer.line(`  ${store}  ${printable(url)}`);
  },
};
