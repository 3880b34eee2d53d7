import { must } from '../../core/must.ts';
import type { FileResult, FileTarget } from '../../core/restorer.ts';
import { damaged } from '../format/byte-cursor.ts';
import type { ChunkPart } from '../format/node.ts';
import { unpackError } from '../pipeline/thread-error.ts';
import { ContentLayout } from './content-layout.ts';
import type { FileRun } from './content-layout.ts';
import type { Crew } from './crew.ts';
import { chunksOf, fillParts, finishParts, shapeOf } from './fill-window.ts';
import { doneResult, failedResult, fileErrorOf, onTarget, TargetError } from './in-place.ts';

type Part = { readonly part: ChunkPart; readonly runs: readonly FileRun[] };

/** Fills one file of any size: what the candidate holds of it is taken from there, chunk by chunk. @throws what any file would fail with */
export async function fillLarge<Tag>(crew: Crew, target: FileTarget<Tag>): Promise<FileResult<Tag>> {
  try {
    return doneResult(target, await fillStretches(crew, target));
  } catch (error) {
    crew.run.signal.throwIfAborted();
    return failedResult(target, fileErrorOf(error));
  }
}

/** Whether all came from the candidate. */
async function fillStretches<Tag>(crew: Crew, target: FileTarget<Tag>): Promise<boolean> {
  const { isClone, error } = await crew.begin({ shape: shapeOf(target), candidate: target.candidate });
  if (error !== undefined) throw new TargetError('a target failed', { cause: unpackError(error) });
  const layout = ContentLayout.of(target);
  let reused = true;
  for await (const parts of stretchesOf(
    crew.chunksOf(must(target.entry.content, 'a content')),
    crew.limits.windowBytes,
  )) {
    const stretch = parts.map((part) => ({ part, runs: layout.take(part.sizeBytes) }));
    const missing = target.candidate === undefined ? stretch : await reuseOf(crew, target, stretch, isClone);
    if (missing.length === 0) continue;
    reused = false;
    await fillParts(crew, { target, parts: missing.map(({ part }) => part), runs: missing.map(({ runs }) => runs) });
  }
  if (!layout.isAtEnd) throw damaged('a base', 'a content is shorter than its file');
  onTarget(() => finishParts(target));
  return reused;
}

async function* stretchesOf(
  batches: AsyncIterable<readonly ChunkPart[]>,
  stretchBytes: number,
): AsyncGenerator<readonly ChunkPart[]> {
  let stretch: ChunkPart[] = [];
  let bytes = 0;
  for await (const batch of batches) {
    for (const part of batch) {
      stretch.push(part);
      bytes += part.sizeBytes;
      if (bytes < stretchBytes) continue;
      yield stretch;
      stretch = [];
      bytes = 0;
    }
  }
  if (stretch.length > 0) yield stretch;
}

/** What the candidate does not hold. */
async function reuseOf<Tag>(
  crew: Crew,
  target: FileTarget<Tag>,
  stretch: readonly Part[],
  isClone: boolean,
): Promise<readonly Part[]> {
  const missing: Part[] = [];
  let failure: Error | undefined;
  const jobs = groupsOf(stretch, crew.limits.reuseBytes).map(async (group) => {
    const { same, error } = await crew.reuseStretch({
      ...chunksOf(group.map(({ part }) => part)),
      path: target.path,
      candidate: { path: must(target.candidate, 'a candidate'), fileSizeBytes: target.fileSizeBytes },
      isClone,
      runs: group.flatMap(({ runs }) => runs),
    });
    if (error !== undefined) failure = unpackError(error);
    let sameBytes = 0;
    for (const [index, part] of group.entries()) {
      if (same[index] === 1) sameBytes += part.part.sizeBytes;
      else missing.push(part);
    }
    crew.context.onBytes(sameBytes);
  });
  await crew.settle(jobs);
  if (failure !== undefined) throw new TargetError('a target failed', { cause: failure });
  return missing;
}

function groupsOf(stretch: readonly Part[], reuseBytes: number): readonly (readonly Part[])[] {
  const groups: Part[][] = [];
  let bytes = 0;
  for (const part of stretch) {
    if (groups.length === 0 || bytes >= reuseBytes) {
      groups.push([]);
      bytes = 0;
    }
    must(groups.at(-1), 'a group').push(part);
    bytes += part.part.sizeBytes;
  }
  return groups;
}
