import { TidemarkError } from '../core/errors.ts';
import type { Run } from '../core/run.ts';
import type { Secret } from '../io/secret.ts';
import { addPassphrase, listSlots, removeSlot } from '../repository/access.ts';
import type { RepositoryAccess } from '../repository/access.ts';
import { loadCatalogue } from '../repository/catalogue.ts';
import type { Catalogue } from '../repository/catalogue.ts';
import { forget, planForget, setPinned } from '../repository/maintainer.ts';
import type { SlotRole } from '../repository/keys/keyring.ts';
import type { RetentionPolicy, Selection } from '../repository/retention.ts';
import { sweep } from '../repository/sweep.ts';
import type { SweepReport } from '../repository/sweep.ts';
import { needConfiguration } from './application.ts';
import type { OpenApplication } from './application.ts';
import { manifestStores, timezoneOf } from './look.ts';
import type { KeyResult, KeysListResult, MarksResult, PinResult, RetentionResult, RunsResult } from './results.ts';
import { refuseRollback } from './rollback.ts';
import { recorded } from './run-record.ts';
import { isoTime, markResult } from './shown.ts';
import { resolveTarget } from './target.ts';
import { listRuns } from '../repository/runs.ts';

/** Longest pause between two looks while a sweep waits for its lease. */
const WAIT_STEP_MS = 1_000;

/** Opens as maintainer, refusing a repository that was rolled back. */
async function openMaintained(application: OpenApplication, options: { readonly dryRun: boolean }, run: Run) {
  const access = await application.openAsMaintainer(run, options);
  const remembered = await application.rememberedHeads(run);
  const catalogue = await loadCatalogue(access, remembered, run);
  refuseRollback(catalogue, remembered);
  return { access, remembered, catalogue };
}

/** All marks that are kept, oldest first. */
export function listMarks(catalogue: Catalogue): MarksResult {
  return {
    marks: catalogue.marks.map(({ mark, pinned }) => markResult(mark, pinned)),
    head: catalogue.fingerprint,
  };
}

/** What retention keeps and gives up; with `apply` it does. */
export async function forgetMarks(
  application: OpenApplication,
  options: { readonly apply: boolean },
  run: Run,
): Promise<RetentionResult> {
  const { retention, timezone } = needConfiguration(application.context);
  const { access, remembered, catalogue } = await openMaintained(application, { dryRun: !options.apply }, run);
  const policy: RetentionPolicy = retention;
  const request = { access, remembered, info: application.sessionInfo('forget'), policy, timezone };
  if (!options.apply) return forgetResult((await planForget(request, run)).selection, false);
  return await recorded(
    application,
    { command: 'forget', access: async () => access, catalogue: () => catalogue },
    async () => {
      const { selection, heads } = await forget(request, run);
      await application.rememberHeads(heads, run);
      return forgetResult(selection, true);
    },
    ({ kept, removed }) => ({ outcome: 'done', summary: { kept: kept.length, removed: removed.length } }),
  );
}

function forgetResult({ kept, forgotten }: Selection, applied: boolean): RetentionResult {
  return {
    kept: [...kept.keys()],
    removed: forgotten.map(({ mark }) => mark.id),
    condemned: [],
    freedBytes: 0,
    applied,
  };
}

/** One pass of a sweep, or with `wait` as many as it takes until what is condemned now is gone. */
export async function sweepRepository(
  application: OpenApplication,
  options: { readonly apply: boolean; readonly wait: boolean },
  run: Run,
): Promise<RetentionResult> {
  const { access, remembered, catalogue } = await openMaintained(application, { dryRun: !options.apply }, run);
  const request = { access, remembered, info: application.sessionInfo('sweep'), apply: options.apply };
  if (!options.apply) {
    const report = await sweep(request, run);
    return retentionResult(report, report.removed, false);
  }
  return await recorded(
    application,
    { command: 'sweep', access: async () => access, catalogue: () => catalogue },
    async () => {
      const { report, removed } = await sweepOften(application, { request, wait: options.wait }, run);
      await application.rememberHeads(report.heads, run);
      return retentionResult(report, removed, true);
    },
    ({ removed, condemned, freedBytes }) => ({
      outcome: 'done',
      summary: { removed: removed.length, condemned: condemned.length, freedBytes },
    }),
  );
}

async function sweepOften(
  application: OpenApplication,
  { request, wait }: { readonly request: Parameters<typeof sweep>[0]; readonly wait: boolean },
  run: Run,
): Promise<{ readonly report: SweepReport; readonly removed: SweepReport['removed'] }> {
  let report = await sweep(request, run);
  const removed = [...report.removed];
  while (wait && report.freeAfterMs !== undefined) {
    await waitUntil(request.access, report.freeAfterMs, application, run);
    report = await sweep(request, run);
    removed.push(...report.removed);
    if (report.removed.length === 0 && report.condemned.length === 0) break;
  }
  return { report, removed };
}

async function waitUntil(
  access: RepositoryAccess,
  atMs: number,
  application: OpenApplication,
  run: Run,
): Promise<void> {
  const { clock } = application.context.runtime;
  while (true) {
    const leftMs = atMs - (await access.objects.nowMs(run));
    if (leftMs < 0) return;
    application.context.progress.report({
      phase: `waiting ${Math.ceil(leftMs / 1000)} s for the lease to end`,
      bytes: 0,
    });
    await clock.sleep(Math.min(leftMs + 1, WAIT_STEP_MS), run);
  }
}

function retentionResult(report: SweepReport, removed: SweepReport['removed'], applied: boolean): RetentionResult {
  return {
    kept: [],
    removed: removed.map(({ key }) => key),
    condemned: report.condemned.map(({ key }) => key),
    freedBytes: removed.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
    ...(report.freeAfterMs === undefined ? {} : { freeAfter: isoTime(report.freeAfterMs) }),
    applied,
  };
}

/** Keeps a mark for ever, or no longer. */
export async function pinMark(
  application: OpenApplication,
  options: { readonly target: string; readonly pinned: boolean },
  run: Run,
): Promise<PinResult> {
  const { access, remembered, catalogue } = await openMaintained(application, { dryRun: false }, run);
  const nowMs = application.context.runtime.clock.nowMs();
  const meant = { timezone: timezoneOf(application), manifest: manifestStores(application) };
  const found = resolveTarget(catalogue, options.target, { nowMs, ...meant });
  if (found.pinned !== options.pinned) {
    const info = application.sessionInfo(options.pinned ? 'pin' : 'unpin');
    const heads = await setPinned(
      { access, remembered, info, catalogue, mark: found.mark.id, pinned: options.pinned },
      run,
    );
    await application.rememberHeads(heads, run);
  }
  return { mark: markResult(found.mark, options.pinned) };
}

export async function listKeys(application: OpenApplication, run: Run): Promise<KeysListResult> {
  const access = await application.openAsReader(run);
  const keys = await listPassphrases(application, access, run);
  const catalogue = await loadCatalogue(access, [], run);
  const credentials = [...catalogue.log.certificates.byId.values()].map(
    ({ id, role, name, createdAtMs }): KeyResult => ({
      id,
      kind: 'credential',
      role,
      name,
      createdAt: isoTime(createdAtMs),
    }),
  );
  return { keys: [...keys, ...credentials] };
}

/** Those that can't be read are told of, and come last. */
async function listPassphrases(
  { context }: OpenApplication,
  access: RepositoryAccess,
  run: Run,
): Promise<readonly KeyResult[]> {
  const { slots, unreadable } = await listSlots(access, run);
  for (const { id, problem } of unreadable) {
    context.warn(`a passphrase opens nothing: ${problem}; \`tidemark keys remove ${id}\` takes it away`);
  }
  const readable = slots.map(({ id, kind, role, name, createdAtMs }): KeyResult => {
    return { id, kind, role, name, createdAt: isoTime(createdAtMs) };
  });
  return [...readable, ...unreadable.map(({ id }): KeyResult => ({ id, kind: 'unreadable' }))];
}

/** The new passphrase is asked for once the repository is open. @throws USAGE when a passphrase has that name already: one name, one passphrase to remove */
export async function addKey(
  application: OpenApplication,
  options: { readonly passphrase: () => Promise<Secret>; readonly role: SlotRole; readonly name: string },
  run: Run,
): Promise<KeyResult> {
  const access = await application.openAsReader(run);
  if ((await listPassphrases(application, access, run)).some((slot) => slot.name === options.name)) {
    throw new TidemarkError('USAGE', `there is a passphrase ${options.name} already`, {
      hint: `Choose another name, or take the old one away with \`tidemark keys remove ${options.name}\`.`,
    });
  }
  const { id, kind, role, name, createdAtMs } = await addPassphrase(
    access,
    { ...options, passphrase: (await options.passphrase()).reveal() },
    run,
  );
  return { id, kind, role, name, createdAt: isoTime(createdAtMs) };
}

/** The passphrase of that name, or whose id begins so. @throws USAGE when there is none, TARGET_AMBIGUOUS */
export async function findKey(application: OpenApplication, key: string, run: Run): Promise<KeyResult> {
  const access = await application.openAsReader(run);
  const slots = await listPassphrases(application, access, run);
  const exact = slots.filter((slot) => slot.id === key || slot.name === key);
  const found = exact.length > 0 ? exact : slots.filter((slot) => slot.id.startsWith(key));
  const [slot] = found;
  if (slot === undefined) {
    throw new TidemarkError('USAGE', `there is no passphrase ${key}`, { hint: 'See `tidemark keys list`.' });
  }
  if (found.length > 1) {
    const ids = found.map(({ id }) => id).join(', ');
    throw new TidemarkError('TARGET_AMBIGUOUS', `${found.length} passphrases fit ${key}`, {
      hint: `Name one by its id: ${ids}.`,
    });
  }
  return slot;
}

/** @throws USAGE for the last passphrase that opens everything */
export async function removeKey(application: OpenApplication, { id }: KeyResult, run: Run): Promise<void> {
  await removeSlot(await application.openAsReader(run), id, run);
}

/** Past runs that the repository remembers, newest first. */
export async function listPastRuns(application: OpenApplication, run: Run): Promise<RunsResult> {
  const access = await application.openAsReader(run);
  const catalogue = await loadCatalogue(access, await application.rememberedHeads(run), run);
  const past = listRuns(access, catalogue, await application.timeForPeople(run));
  return {
    runs: past.map(({ key, command, startedAtMs, durationMs, outcome, code, host }) => ({
      id: key.startsWith('sessions/')
        ? key.slice('sessions/'.length).replace('/', '-')
        : key.slice(key.indexOf('/') + 1),
      command,
      startedAt: isoTime(startedAtMs),
      durationMs,
      outcome,
      ...(code === undefined ? {} : { code }),
      ...(host === undefined ? {} : { host }),
    })),
  };
}
