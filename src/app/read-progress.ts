import type { BaseReader, FileTarget } from '../core/restorer.ts';
import type { ProgressSink } from './progress.ts';

/** A base reader that reports how much has been extracted. */
export function withProgress(
  base: BaseReader,
  options: { readonly phase: string; readonly store: string; readonly progress: ProgressSink },
): BaseReader {
  const { phase, store, progress } = options;
  let bytes = 0;
  /** Filled in so far, also of files that are not finished. What is done again counts twice, so it is only a hint. */
  let filledBytes = 0;
  let files = 0;
  const totals = { totalEntries: base.entryCount, totalBytes: base.contentBytes };
  const report = (): void => {
    const shown = Math.max(bytes, Math.min(filledBytes, base.contentBytes));
    progress.report({ phase, store, entries: files, bytes: shown, ...totals });
  };
  const onBytes = (filled: number): void => {
    if (filled === 0) return;
    filledBytes += filled;
    report();
  };
  return {
    entryCount: base.entryCount,
    contentBytes: base.contentBytes,
    entries: (run, range) => base.entries(run, range),
    find: (name, run) => base.find(name, run),
    read: (content, run) => base.read(content, run),
    async *extract<Tag>(targets: AsyncIterable<readonly FileTarget<Tag>[]>, run: Parameters<BaseReader['extract']>[1]) {
      report();
      for await (const results of base.extract(targets, run, onBytes)) {
        for (const { sizeBytes } of results) bytes += sizeBytes;
        files += results.length;
        report();
        yield results;
      }
    },
  };
}
