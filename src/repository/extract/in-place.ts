import type { FileResult, FileTarget, StoredContent } from '../../core/restorer.ts';
import type { Run } from '../../core/run.ts';
import type { BlockSource } from '../block-source.ts';
import type { ChunkPart } from '../format/node.ts';
import { TargetFile } from './target-file.ts';

type ChunksOf = (content: StoredContent, run: Run) => AsyncIterable<readonly ChunkPart[]>;

/** Fills files one after another on this thread; what candidates hold is not looked at. */
export async function* extractInPlace<Tag>(
  source: BlockSource,
  targets: AsyncIterable<readonly FileTarget<Tag>[]>,
  chunksOf: ChunksOf,
  run: Run,
): AsyncGenerator<readonly FileResult<Tag>[]> {
  for await (const batch of targets) {
    const results: FileResult<Tag>[] = [];
    for (const target of batch) {
      run.signal.throwIfAborted();
      results.push(await extractOne(source, target, chunksOf, run));
    }
    yield results;
  }
}

/** Fills one file, from whatever place yields its chunks. What can't be restored is in the result. */
export async function extractOne<Tag>(source: BlockSource, target: FileTarget<Tag>, chunksOf: ChunksOf, run: Run): Promise<FileResult<Tag>> {
  const { tag, entry } = target;
  try {
    using file = TargetFile.create(target);
    if (entry.content !== undefined) {
      for await (const parts of chunksOf(entry.content, run)) {
        for (const part of parts) file.write(await source.content(part, run));
      }
    }
    file.finish();
    return { tag, sizeBytes: entry.content?.sizeBytes ?? 0, reused: false };
  } catch (error) {
    run.signal.throwIfAborted();
    return { tag, sizeBytes: 0, reused: false, error };
  }
}
