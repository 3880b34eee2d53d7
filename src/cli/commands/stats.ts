import type { StatsResult } from '../../app/results.ts';
import { repositoryStats } from '../../app/stats.ts';
import { withReader } from '../application.ts';
import type { Command } from '../command.ts';
import { formatCount, formatNumberOf, formatSize } from '../format.ts';
import type { statsSpec } from '../table/keeping.ts';

export const stats: Command<typeof statsSpec, StatsResult> = {
  async run(context) {
    const result = await withReader(context, (application, reader) =>
      repositoryStats(application, reader, context.run),
    );
    return { result };
  },
  print({ marks, bases, packs, chunks, bytes, storedBytes, stores }, printer) {
    const times = storedBytes > 0 ? (Math.floor((bytes / storedBytes) * 10) / 10).toFixed(1) : '0.0';
    printer.line(`${formatNumberOf(marks, 'mark')} over ${formatNumberOf(bases, 'base')} of ${formatSize(bytes)}`);
    printer.line(
      `take ${formatSize(storedBytes)}, ${times} times less, in ${formatNumberOf(packs, 'pack')} with ${formatNumberOf(chunks, 'chunk')}`,
    );
    if (stores.length === 0) return;
    printer.table(
      [
        { title: 'store' },
        { title: 'bases', align: 'right' },
        { title: 'entries', align: 'right' },
        { title: 'size', align: 'right' },
        { title: 'stored', align: 'right' },
      ],
      stores.map((store) => [
        store.store,
        formatCount(store.bases),
        formatCount(store.entries),
        formatSize(store.bytes),
        store.storedBytes === undefined ? '' : formatSize(store.storedBytes),
      ]),
    );
    printer.line('Entries and size are of the newest base; stored is what no other store shares.');
  },
};
