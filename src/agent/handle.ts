import { isStoreFailure } from '../app/backup.ts';
import { chosenStores } from '../app/chosen-stores.ts';
import { needConfiguration } from '../app/application.ts';
import type { OpenApplication } from '../app/application.ts';
import { refuseLabels, refuseUsedName } from '../app/mark-labels.ts';
import type { Recording } from '../app/recording.ts';
import type {
  AlarmResult,
  BackupResult,
  BackupStoreResult,
  LiveStatus,
  MarkTakenResult,
  TroubleResult,
} from '../app/results.ts';
import { baseResult, isoTime, markResult } from '../app/shown.ts';
import { TidemarkError } from '../core/errors.ts';
import type { Run } from '../core/run.ts';
import { loadCatalogue } from '../repository/catalogue.ts';
import type { RepositoryAccess } from '../repository/access.ts';
import type { Json } from '../repository/format/json.ts';
import type { AgentRequest } from './request.ts';

export type HandlerParts = {
  readonly application: OpenApplication;
  readonly recording: Recording;
  readonly access: RepositoryAccess;
  readonly startedMs: number;
  /** When the next base of a store is due. */
  readonly nextBaseMs: (store: string) => number | undefined;
  /** Of retention and verification. */
  readonly alarms: () => readonly AlarmResult[];
};

/** Answers what other processes ask, with the same results as their commands have. */
export async function handle(
  parts: HandlerParts,
  request: AgentRequest,
  tell: (message: string) => void,
  run: Run,
): Promise<Json> {
  if (request.command !== 'status') refuseOthers(parts, request.application);
  switch (request.command) {
    case 'status':
      return asJson(liveStatus(parts));
    case 'mark':
      return asJson(await takeMark(parts, request, tell, run));
    case 'backup':
      return asJson(await takeBases(parts, request, tell, run));
  }
}

/** This host has one folder for a repository, whichever application asks. @throws BUSY */
function refuseOthers({ application: { name } }: HandlerParts, asking: string | undefined): void {
  if (asking === undefined || asking === name) return;
  const message = `the \`up\` that runs on this host records ${name} into this repository, not ${asking}`;
  throw new TidemarkError('BUSY', message, {
    hint: `Stop it meanwhile, or give ${asking} a repository of its own.`,
  });
}

/** A result is what JSON can hold. */
function asJson(result: object): Json {
  return JSON.parse(JSON.stringify(result)) as Json;
}

export function liveStatus(parts: HandlerParts): LiveStatus {
  const { application, recording, startedMs, nextBaseMs, alarms } = parts;
  const { clock } = application.context.runtime;
  const nowMs = clock.nowMs();
  const trouble = recording.trouble;
  return {
    up: { processId: application.context.processId, startedAt: isoTime(startedMs) },
    stores: [...recording.stores.values()].map((store) => {
      const { name } = store.store;
      const next = nextBaseMs(name);
      const lagMs = recording.lagMs(name, nowMs);
      return {
        store: name,
        state: store.state,
        position: recording.position(name),
        ...(lagMs === undefined ? {} : { lagMs }),
        ...(next === undefined ? {} : { nextBaseAt: isoTime(next) }),
        spooledBytes: recording.waitingBytes(name),
        trouble: store.trouble && troubleOf(store.trouble),
      };
    }),
    lastMark: recording.lastMark && markResult(recording.lastMark, false),
    repositoryTrouble: trouble && troubleOf(trouble),
    alarms: alarms(),
  };
}

/** While the repository is away nobody would know why nothing comes. */
function tellOfWait({ trouble }: Recording, tell: (message: string) => void): void {
  if (trouble !== undefined) tell(`the mark waits for the repository: ${trouble.message}. ${trouble.hint}`);
}

function troubleOf({ code, message, hint }: TidemarkError): TroubleResult {
  return { code, message, hint };
}

async function takeMark(
  { recording, access }: HandlerParts,
  request: Extract<AgentRequest, { command: 'mark' }>,
  tell: (message: string) => void,
  run: Run,
): Promise<MarkTakenResult> {
  refuseLabels(request);
  if (request.name !== undefined) refuseUsedName(await loadCatalogue(access, [], run), request);
  tellOfWait(recording, tell);
  return { mark: markResult(await recording.mark(request, run), false) };
}

async function takeBases(
  { application, recording, access }: HandlerParts,
  request: Extract<AgentRequest, { command: 'backup' }>,
  tell: (message: string) => void,
  run: Run,
): Promise<BackupResult> {
  const configuration = needConfiguration(application.context);
  const stores = chosenStores(configuration, request.stores);
  chosenStores(configuration, request.allowEmpty);
  refuseLabels(request);
  if (request.name !== undefined) refuseUsedName(await loadCatalogue(access, [], run), request);
  const taken: BackupStoreResult[] = [];
  const failures: { readonly store: string; readonly error: TidemarkError }[] = [];
  for (const { name } of stores) {
    try {
      tell(`taking a base of ${name}`);
      const store = recording.stores.get(name);
      if (store === undefined) throw new TidemarkError('USAGE', `\`up\` was started without the store ${name}`);
      const { base, exact } = await store.takeBase({ allowEmpty: request.allowEmpty.includes(name) }, run);
      taken.push(baseResult({ store: name, base, exact }, { dryRun: false }));
    } catch (error) {
      if (!isStoreFailure(error)) throw error;
      failures.push({ store: name, error });
    }
  }
  const [first] = failures;
  if (first !== undefined && taken.length === 0) throw first.error;
  const failed = failures.map(({ store, error }) => ({ store, ...troubleOf(error) }));
  tellOfWait(recording, tell);
  const mark = await recording.mark({ ...request, sealed: false }, run);
  return { mark: markResult(mark, false), stores: taken, failed, dryRun: false };
}
