import { unlinkSync } from 'node:fs';
import { systemCode } from '../../core/errors.ts';
import { must } from '../../core/must.ts';
import type { FileResult, FileTarget } from '../../core/restorer.ts';
import { isDamage } from '../format/byte-cursor.ts';
import type { ChunkPart } from '../format/node.ts';
import { unpackError } from '../pipeline/thread-error.ts';
import type { Crew } from './crew.ts';
import { planFill } from './fill-plan.ts';
import type { FillJob, FillPlan, WantedFile } from './fill-plan.ts';
import { doneResult, extractOne, failedResult, fileErrorOf, onTarget, TargetError } from './in-place.ts';
import { packFiles } from './packed-files.ts';
import { TargetFile } from './target-file.ts';
import type { TargetShape } from './target-file.ts';

/** A job of candidates is at most so many. */
const REUSE_FILES = 256;
const ID_BYTES = 32;

/** What went wrong with a file. `created`: what is there at its path is ours. */
type Failure = { readonly error: unknown; readonly created: boolean };
type Failures<Tag> = Map<WantedFile<Tag>, Failure>;

/** Fills some files at once. @throws what all of them would fail with */
export async function fillWindow<Tag>(
  crew: Crew,
  targets: readonly FileTarget<Tag>[],
): Promise<readonly FileResult<Tag>[]> {
  const results: FileResult<Tag>[] = [];
  const wanted: WantedFile<Tag>[] = [];
  for (const target of targets) {
    try {
      const parts = chunksAtHand(crew, target) ?? (await listedChunks(crew, target));
      wanted.push({ target, parts, candidate: target.candidate ?? crew.made.find(parts) });
    } catch (error) {
      results.push(failedResult(target, fileErrorOf(error)));
    }
  }
  const [rest] = await Promise.all([
    reuse(
      crew,
      wanted.filter(({ candidate }) => candidate !== undefined),
      results,
    ),
    fill(
      crew,
      wanted.filter(({ candidate }) => candidate === undefined),
      results,
    ),
  ]);
  if (rest.length > 0) await fill(crew, rest, results);
  return results;
}

function chunksAtHand<Tag>(crew: Crew, { entry }: FileTarget<Tag>): readonly ChunkPart[] | undefined {
  return entry.content === undefined ? [] : crew.context.chunksAtHand(entry.content);
}

async function listedChunks<Tag>(crew: Crew, { entry }: FileTarget<Tag>): Promise<readonly ChunkPart[]> {
  const parts: ChunkPart[] = [];
  for await (const batch of crew.chunksOf(must(entry.content, 'a content'))) parts.push(...batch);
  return parts;
}

/** Makes what it can from candidates; returns the others. */
async function reuse<Tag>(
  crew: Crew,
  wanted: readonly WantedFile<Tag>[],
  results: FileResult<Tag>[],
): Promise<readonly WantedFile<Tag>[]> {
  const rest: WantedFile<Tag>[] = [];
  const jobs = groupsOf(wanted, crew.limits.reuseBytes).map(async (group) => {
    const { made, failures } = await crew.reuse(reuseRequest(group));
    const failed = new Map(failures.map(({ file, error }) => [file, unpackError(error)]));
    let madeBytes = 0;
    for (const [index, file] of group.entries()) {
      const error = failed.get(index);
      if (error !== undefined) results.push(failedResult(file.target, error));
      else if (made[index] === 1) {
        const result = doneResult(file.target, file.target.candidate !== undefined);
        crew.made.remember(file.parts, file.target.path);
        madeBytes += result.sizeBytes;
        results.push(result);
      } else rest.push(file);
    }
    crew.context.onBytes(madeBytes);
  });
  await crew.settle(jobs);
  return rest;
}

function reuseRequest<Tag>(group: readonly WantedFile<Tag>[]) {
  const parts = group.flatMap((file) => file.parts);
  return {
    files: packFiles(
      group.map(({ target, candidate }) => ({ fill: { kind: 'whole', shape: shapeOf(target) }, candidate })),
    ),
    fileOf: Uint32Array.from(group.flatMap((file, index) => file.parts.map(() => index))),
    ...chunksOf(parts),
  };
}

/** As a `ProofRequest` has them. */
export function chunksOf(parts: readonly ChunkPart[]): { readonly sizes: Uint32Array; readonly ids: Uint8Array } {
  const ids = new Uint8Array(parts.length * ID_BYTES);
  for (const [index, { id }] of parts.entries()) ids.set(id, index * ID_BYTES);
  return { sizes: Uint32Array.from(parts, ({ sizeBytes }) => sizeBytes), ids };
}

export function shapeOf<Tag>({ path, fileSizeBytes, extents, finish }: FileTarget<Tag>): TargetShape {
  return { path, fileSizeBytes, extents, finish };
}

function groupsOf<Tag>(files: readonly WantedFile<Tag>[], reuseBytes: number): readonly (readonly WantedFile<Tag>[])[] {
  const groups: WantedFile<Tag>[][] = [];
  let bytes = 0;
  for (const file of files) {
    const group = groups.at(-1);
    if (group === undefined || group.length >= REUSE_FILES || bytes >= reuseBytes) {
      groups.push([file]);
      bytes = 0;
    } else {
      group.push(file);
    }
    bytes += file.target.entry.content?.sizeBytes ?? 0;
  }
  return groups;
}

async function fill<Tag>(crew: Crew, wanted: readonly WantedFile<Tag>[], results: FileResult<Tag>[]): Promise<void> {
  const failures: Failures<Tag> = new Map();
  const plan = createSplit(crew, wanted, failures);
  await crew.settle(plan.jobs.map((job) => runJob(crew, job, failures)));
  for (const file of plan.split) {
    // Its last runs may have come before its first ones; only now it is complete.
    if (!failures.has(file)) attempt(file, failures, true, () => finishParts(file.target));
  }
  for (const file of wanted) {
    const failure = plan.lost.has(file) ? LOST : failures.get(file);
    if (failure === undefined) {
      crew.made.remember(file.parts, file.target.path);
      results.push(doneResult(file.target, false));
    } else if (failure !== LOST && !isDamage(failure.error)) results.push(failedResult(file.target, failure.error));
    else results.push(await fillAgain(crew, file.target, failure));
  }
}

const LOST: Failure = { error: undefined, created: false };

/** Creates the files that several jobs write, which needs to be before any of them. Files where that fails are not in the plan. */
function createSplit<Tag>(crew: Crew, wanted: readonly WantedFile<Tag>[], failures: Failures<Tag>): FillPlan<Tag> {
  const plan = planFill(wanted, crew.source.index, crew.limits);
  for (const file of plan.split) {
    attempt(file, failures, false, () => TargetFile.create(shapeOf(file.target))[Symbol.dispose]());
  }
  if (failures.size === 0) return plan;
  const rest = wanted.filter((file) => !failures.has(file));
  return planFill(rest, crew.source.index, crew.limits);
}

function attempt<Tag>(file: WantedFile<Tag>, failures: Failures<Tag>, created: boolean, work: () => void): void {
  try {
    work();
  } catch (error) {
    failures.set(file, { error, created });
  }
}

/** Finishes a file of which every part has been written. */
export function finishParts<Tag>(target: FileTarget<Tag>): void {
  using file = TargetFile.reopen(target.path, []);
  file.finish(shapeOf(target));
}

async function runJob<Tag>(crew: Crew, job: FillJob<Tag>, failures: Failures<Tag>): Promise<void> {
  const note = (index: number, failure: Failure): void => {
    const { file, isPart } = must(job.files[index], 'a failure names a file');
    const earlier = failures.get(file);
    // What the target fails with is final; damage may be made good.
    if (earlier !== undefined && !isDamage(earlier.error)) return;
    failures.set(file, { error: failure.error, created: isPart || failure.created });
  };
  try {
    const { failures: found } = await crew.fill(job);
    for (const { file, created, error } of found) note(file, { error: unpackError(error), created });
  } catch (error) {
    crew.run.signal.throwIfAborted();
    if (!isDamage(error)) throw error;
    for (const index of job.files.keys()) note(index, { error, created: false });
  }
}

/** The slow way, which tries every place of every chunk. */
async function fillAgain<Tag>(crew: Crew, target: FileTarget<Tag>, { created }: Failure): Promise<FileResult<Tag>> {
  if (created) removeIfThere(target.path);
  return await extractOne(crew.context, target, crew.run);
}

function removeIfThere(path: Uint8Array): void {
  try {
    unlinkSync(Buffer.from(path));
  } catch (error) {
    if (systemCode(error) !== 'ENOENT') throw error;
  }
}

/** Writes parts of a file that is there. @throws an error of that file, as `fileErrorOf` has it, or of all */
export async function fillParts<Tag>(crew: Crew, wanted: WantedFile<Tag>): Promise<void> {
  const failures: Failures<Tag> = new Map();
  const plan = planFill([wanted], crew.source.index, crew.limits);
  await crew.settle(plan.jobs.map((job) => runJob(crew, job, failures)));
  const error = failures.get(wanted)?.error;
  if (error === undefined && !plan.lost.has(wanted)) return;
  if (error !== undefined && !isDamage(error)) throw new TargetError('a target failed', { cause: error });
  for (const [index, part] of wanted.parts.entries()) {
    const bytes = await crew.source.content(part, crew.run);
    onTarget(() => {
      using file = TargetFile.reopen(wanted.target.path, must(wanted.runs?.[index], 'every part has runs'));
      file.write(bytes);
    });
  }
}
