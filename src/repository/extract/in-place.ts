import { BugError } from '../../core/must.ts';
import type { FileResult, FileTarget } from '../../core/restorer.ts';
import type { Run } from '../../core/run.ts';
import type { ExtractContext } from '../base-reader.ts';
import { isDamage } from '../format/byte-cursor.ts';
import { TargetFile } from './target-file.ts';

/** Progress goes in steps of about this size. */
const STEP_BYTES = 4 * 1024 * 1024;

/** Fills files one after another on this thread; what candidates hold is not looked at. */
export async function* extractInPlace<Tag>(
  context: ExtractContext,
  targets: AsyncIterable<readonly FileTarget<Tag>[]>,
  run: Run,
): AsyncGenerator<readonly FileResult<Tag>[]> {
  for await (const batch of targets) {
    const results: FileResult<Tag>[] = [];
    for (const target of batch) {
      run.signal.throwIfAborted();
      results.push(await extractOne(context, target, run));
    }
    yield results;
  }
}

/**
 * Fills one file, from whatever place yields its chunks. What is wrong with the target or with the stored content is in the result.
 * @throws what keeps the repository from being read
 */
export async function extractOne<Tag>(
  context: ExtractContext,
  target: FileTarget<Tag>,
  run: Run,
): Promise<FileResult<Tag>> {
  try {
    await fill(context, target, run);
    return doneResult(target, false);
  } catch (error) {
    run.signal.throwIfAborted();
    return failedResult(target, fileErrorOf(error));
  }
}

export function doneResult<Tag>({ tag, entry }: FileTarget<Tag>, reused: boolean): FileResult<Tag> {
  return { tag, sizeBytes: entry.content?.sizeBytes ?? 0, reused };
}

export function failedResult<Tag>({ tag }: FileTarget<Tag>, error: unknown): FileResult<Tag> {
  return { tag, sizeBytes: 0, reused: false, error };
}

async function fill<Tag>(
  { source, chunksOf, onBytes }: ExtractContext,
  target: FileTarget<Tag>,
  run: Run,
): Promise<void> {
  const { content } = target.entry;
  let untold = 0;
  using file = onTarget(() => TargetFile.create(target));
  for await (const parts of content === undefined ? [] : chunksOf(content, run)) {
    for (const part of parts) {
      const bytes = await source.content(part, run);
      onTarget(() => file.write(bytes));
      untold += bytes.byteLength;
      if (untold < STEP_BYTES) continue;
      onBytes(untold);
      untold = 0;
    }
  }
  onTarget(() => file.finish(target));
  onBytes(untold);
}

/** Tells what the target failed with from what the repository did. */
export class TargetError extends Error {}

/** The error that only this file failed with. @throws any other one, which all files would fail with */
export function fileErrorOf(error: unknown): unknown {
  if (error instanceof TargetError) return error.cause;
  if (isDamage(error)) return error;
  throw error;
}

/** Does something to a target: what that throws is a `fileErrorOf`. */
export function onTarget<Result>(work: () => Result): Result {
  try {
    return work();
  } catch (error) {
    if (error instanceof BugError) throw error;
    throw new TargetError('a target failed', { cause: error });
  }
}
