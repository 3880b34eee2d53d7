import { isTidemarkError, TidemarkError } from '../core/errors.ts';
import type { Run } from '../core/run.ts';
import type { RepositoryAccess } from '../repository/access.ts';
import type { Catalogue } from '../repository/catalogue.ts';
import type { Json } from '../repository/format/json.ts';
import type { Verification } from '../repository/known-damage.ts';
import { putRun } from '../repository/runs.ts';
import type { RunBody } from '../repository/runs.ts';
import type { RepositoryWriter } from '../repository/writer.ts';
import type { OpenApplication } from './application.ts';
import { lostHeads } from './rollback.ts';

/** `damaged`: it found damage. `incomplete`: it finished, but something is missing. */
export type RunEnd = { readonly outcome: 'done' | 'incomplete' | 'damaged'; readonly summary: Json };

/** `verification`: of a run that was one, what it found. */
type RecordedEnd = RunEnd & { readonly verification?: Verification | undefined };

export type Recorded = {
  readonly command: string;
  /** With a maintainer's credential; undefined where nothing can be written, of which the operator knows. */
  readonly access: (run: Run) => Promise<RepositoryAccess | undefined>;
  /** Called at the end of the run; without one nothing is written down. */
  readonly catalogue: () => Catalogue | undefined;
};

/** Of an error that ended a run. */
export function failureOf(error: unknown): { readonly outcome: 'failed' | 'interrupted'; readonly code: string } {
  const code = error instanceof TidemarkError ? error.code : 'FAILED';
  return { outcome: code === 'INTERRUPTED' ? 'interrupted' : 'failed', code };
}

/** Says what became of a session that failed, so that its lease need not run out. The first error is the one that counts. */
export async function endFailed(writer: RepositoryWriter, error: unknown): Promise<void> {
  const run: Run = { signal: new AbortController().signal };
  try {
    await writer.putRun(run, { ...failureOf(error), summary: {} });
    await writer.end(run);
  } catch (second) {
    if (!(second instanceof TidemarkError)) throw second;
  }
}

/**
 * Ends a session whose work is committed, which stands whatever fails here: that is told to `onUnnoted`, and the lease runs out by itself. `finish` comes
 * after the run is written down. @throws FENCED; whatever the run was aborted with
 */
export async function endDone(
  writer: Pick<RepositoryWriter, 'putRun'>,
  body: RunEnd,
  steps: { readonly finish: () => Promise<void>; readonly onUnnoted: (error: TidemarkError) => void },
  run: Run,
): Promise<void> {
  try {
    await writer.putRun(run, body);
    await steps.finish();
  } catch (error) {
    run.signal.throwIfAborted();
    if (!isTidemarkError(error) || isTidemarkError(error, 'FENCED')) throw error;
    steps.onUnnoted(error);
  }
}

/**
 * Does `work` and writes down in the repository how it ended, for `runs`. What can't be written down is a warning: a repository that can only
 * be read must still be restored from.
 */
export async function recorded<T>(
  application: OpenApplication,
  options: Recorded,
  work: () => Promise<T>,
  endOf: (result: T) => RecordedEnd,
): Promise<T> {
  const { clock } = application.context.runtime;
  const [startedAtMs, startedMs] = [clock.nowMs(), clock.monotonicMs()];
  const write = async (
    end: Pick<RunBody, 'outcome' | 'code' | 'summary'>,
    verification?: Verification,
  ): Promise<void> => {
    const durationMs = Math.round(clock.monotonicMs() - startedMs);
    const body = { command: options.command, startedAtMs, durationMs, ...end };
    await writeDown(application, options, { body, verification });
  };
  let result: T;
  try {
    result = await work();
  } catch (error) {
    await write({ ...failureOf(error), summary: {} });
    throw error;
  }
  const { verification, ...end } = endOf(result);
  await write(end, verification);
  return result;
}

async function writeDown(
  application: OpenApplication,
  options: Recorded,
  said: { readonly body: RunBody; readonly verification: Verification | undefined },
): Promise<void> {
  const catalogue = options.catalogue();
  if (catalogue === undefined) return;
  // An interrupted run is written down as well.
  const run: Run = { signal: new AbortController().signal };
  try {
    const remembered = await application.rememberedHeads(run);
    // Nothing is added to what was rolled back.
    if (lostHeads(catalogue, remembered).length > 0) return;
    const access = await options.access(run);
    if (access === undefined) return;
    const head = await putRun({ access, info: application.sessionInfo(options.command), catalogue, ...said }, run);
    await application.rememberHeads([...(await application.rememberedHeads(run)), head], run);
  } catch (error) {
    if (!isTidemarkError(error)) throw error;
    application.context.warn(`this run is not written down in the repository: ${error.message}`);
  }
}
