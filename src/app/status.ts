import { TidemarkError } from '../core/errors.ts';
import type { Run } from '../core/run.ts';
import type { RepositoryAccess } from '../repository/access.ts';
import { loadCatalogue, newestBase, newestPosition } from '../repository/catalogue.ts';
import type { Catalogue } from '../repository/catalogue.ts';
import { baseAtMs } from '../repository/base-order.ts';
import { historySpans, restorableTimes } from '../repository/history-spans.ts';
import type { HistorySpan } from '../repository/history-spans.ts';
import { FORMAT_VERSION } from '../repository/format/header.ts';
import type { AppContext, OpenApplication } from './application.ts';
import { knownStores } from './chosen-stores.ts';
import { manifestStores } from './look.ts';
import { marksOf } from './mark-stores.ts';
import type { AlarmResult, LiveStatus, StatusResult, StatusStoreResult } from './results.ts';
import { isoTime, markResult } from './shown.ts';
import { newestMark } from '../repository/mark.ts';
import { repositoryAlarms, restoreAlarms } from './status-alarms.ts';

/** How everything runs now: what the process that records says of itself, where one does, over what the repository says. @throws as `offlineStatus` */
export async function status(
  application: OpenApplication,
  live: LiveStatus | undefined,
  run: Run,
): Promise<StatusResult> {
  const offline = await offlineStatus(application, run);
  if (live === undefined) return offline;
  const { up, lastMark = offline.lastMark, repositoryTrouble } = live;
  return {
    ...offline,
    up,
    stores: offline.stores.map((store) => ({ ...store, ...live.stores.find((own) => own.store === store.store) })),
    repository: { ...offline.repository, reachable: repositoryTrouble === undefined },
    ...(lastMark === undefined ? {} : { lastMark }),
    alarms: [...(repositoryTrouble === undefined ? [] : [repositoryTrouble]), ...liveAlarms(live), ...offline.alarms],
  };
}

/** What the process that records says of itself while the repository is away, which `error` says. */
export function awayStatus(
  context: AppContext,
  { id, live, error }: { readonly id: string; readonly live: LiveStatus; readonly error: TidemarkError },
): StatusResult {
  const { code, message } = error;
  // The error's own hint is for who names a wrong one: this one is known to have been there.
  const hint = 'Check that its disk or share is mounted. What is recorded goes in once it is back.';
  return {
    at: isoTime(context.runtime.clock.nowMs()),
    up: live.up,
    stores: live.stores,
    repository: { id, url: context.repositoryUrl, formatVersion: FORMAT_VERSION, reachable: false },
    ...(live.lastMark === undefined ? {} : { lastMark: live.lastMark }),
    alarms: [live.repositoryTrouble ?? { code, message, hint }, ...liveAlarms(live)],
  };
}

function liveAlarms({ stores, alarms }: LiveStatus): readonly AlarmResult[] {
  return [...stores.flatMap(({ store, trouble }) => (trouble === undefined ? [] : [{ ...trouble, store }])), ...alarms];
}

/**
 * What the repository and this host say while `up` does not run. Nobody is asked for a passphrase: without one what this host's own writer may know
 * has to do. @throws SECRET_MISSING where there is neither
 */
export async function offlineStatus(application: OpenApplication, run: Run): Promise<StatusResult> {
  const { context, header } = application;
  const { access, keyRole } = await openUnasked(application, run);
  const remembered = await application.rememberedHeads(run);
  const catalogue = await loadCatalogue(access, remembered, run);
  const nowMs = await application.timeForPeople(run);
  const { configuration } = context;
  const stores = knownStores(catalogue, configuration, []).map((store) => ({
    store,
    spans: historySpans(catalogue, store),
  }));
  const lastMark = newestMark(marksOf(catalogue.marks, manifestStores(application)));
  const knowsProofs = keyRole === 'reader';
  return {
    at: isoTime(nowMs),
    keyRole,
    stores: stores.map(({ store, spans }) => storeStatus(catalogue, store, spans)),
    repository: {
      id: header.id,
      url: context.repositoryUrl,
      formatVersion: FORMAT_VERSION,
      reachable: true,
    },
    ...(lastMark === undefined ? {} : { lastMark: markResult(lastMark.mark, lastMark.pinned) }),
    alarms: [
      ...(await restoreAlarms(application, run)),
      ...repositoryAlarms({ access, catalogue, configuration, remembered, stores, nowMs, knowsProofs }),
    ],
  };
}

/** With the best key that is at hand. */
async function openUnasked(
  application: OpenApplication,
  run: Run,
): Promise<{ readonly access: RepositoryAccess; readonly keyRole: 'reader' | 'writer' }> {
  if ((await application.context.knownPassphrase()) !== undefined) {
    return { access: await application.openAsReader(run), keyRole: 'reader' };
  }
  if (await application.keepsWriterCredential()) {
    return { access: await application.openAsWriter(run, { dryRun: true }), keyRole: 'writer' };
  }
  throw new TidemarkError('SECRET_MISSING', 'this host has neither a passphrase nor a credential for the repository', {
    hint: 'Give a passphraseFile in the manifest, TIDEMARK_PASSPHRASE_FILE or TIDEMARK_PASSPHRASE: status asks nobody.',
  });
}

function storeStatus(catalogue: Catalogue, store: string, spans: readonly HistorySpan[]): StatusStoreResult {
  const base = newestBase(catalogue, store);
  const window = restorableTimes(spans).at(-1);
  const position = newestPosition(catalogue, store);
  return {
    store,
    state: 'idle',
    ...(position === undefined ? {} : { position }),
    ...(base === undefined ? {} : { lastBaseAt: isoTime(baseAtMs(base)) }),
    ...(window === undefined ? {} : { window: { from: isoTime(window.fromMs), to: isoTime(window.toMs) } }),
    spooledBytes: 0,
  };
}
