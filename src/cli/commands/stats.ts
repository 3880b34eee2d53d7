import type { StatsResult } from '../../app/results.ts';
import type { Command } from '../command.ts';
import { formatCount, formatNumberOf, formatSize } from '../format.ts';
import type { statsSpec } from '../table/keeping.ts';
import { notYet } from './not-yet.ts';

export const stats: Command<typeof statsSpec, StatsResult> = {
  async run() {
    return notYet('stats');
  },
  print({ marks, bases, packs, chunks, bytes, storedBytes, stores }, printer) {
    printer.line(
      `${formatNumberOf(marks, 'mark')}, ${formatNumberOf(bases, 'base')}, ${formatNumberOf(packs, 'pack')}, ${formatNumberOf(chunks, 'chunk')}`,
    );
    const factor = storedBytes > 0 ? `, ${(Math.floor((bytes / storedBytes) * 10) / 10).toFixed(1)} times as much` : '';
    printer.line(`${formatSize(storedBytes)} hold ${formatSize(bytes)}${factor}`);
    printer.table(
      [
        { title: 'store' },
        { title: 'bases', align: 'right' },
        { title: 'entries', align: 'right' },
        { title: 'size', align: 'right' },
      ],
      stores.map((store) => [
        store.store,
        formatCount(store.bases),
        formatCount(store.entries),
        formatSize(store.bytes),
      ]),
    );
  },
};
