import { join } from 'node:path';
import { needConfiguration } from '../app/application.ts';
import type { OpenApplication } from '../app/application.ts';
import { rememberRepository } from '../app/known-repository.ts';
import { Recording } from '../app/recording.ts';
import type { AlarmResult, UpResult } from '../app/results.ts';
import type { Run } from '../core/run.ts';
import { openScope } from '../flow/scope.ts';
import { nextBaseMs, takeBasesOnSchedule } from './base-schedule.ts';
import { keepUp } from './upkeep.ts';
import { handle } from './handle.ts';
import type { HandlerParts } from './handle.ts';
import { listen } from './socket-server.ts';
import { lockOrBusy } from '../io/lock.ts';

export type UpOptions = {
  /** Hears of everything worth telling, a line each. */
  readonly onNews: (message: string) => void;
  /** Ends a stop that takes too long. */
  readonly abortStop?: AbortSignal | undefined;
};

/**
 * Runs an application's recording until the run aborts, then brings what was received into the repository. One such process for an application on
 * a host. @throws BUSY, saying who holds it; KEY_REFUSED, REPOSITORY_ROLLED_BACK, …
 */
export async function up(application: OpenApplication, options: UpOptions, run: Run): Promise<UpResult> {
  const { onNews } = options;
  const { context, stateFolder } = application;
  const { runtime, processId } = context;
  const startedMs = runtime.clock.nowMs();
  const holder = { processId, command: 'up', sinceMs: startedMs };
  await using _lock = await lockOrBusy(join(stateFolder, 'up.lock'), holder, 'recording this application on this host');
  const access = await application.openAsWriter(run, { dryRun: false });
  await rememberRepository(application, run);
  const configuration = needConfiguration(context);
  const recording = await Recording.open({ application, configuration, access, onNews }, run);
  const alarms = new Map<string, AlarmResult>();
  const onAlarm = (code: string, alarm: AlarmResult | undefined): void => {
    if (alarm === undefined) alarms.delete(code);
    else alarms.set(code, alarm);
  };
  const parts: HandlerParts = {
    application,
    recording,
    access,
    startedMs,
    nextBaseMs: (store) => nextBaseMs(configuration, store, runtime.clock.nowMs()),
    alarms: () => [...alarms.values()],
  };
  await using _socket = await listen(stateFolder, (request, tell, inner) => handle(parts, request, tell, inner), run);
  const last: Run = { signal: options.abortStop ?? new AbortController().signal };
  await using chores = openScope(run);
  void chores.spawn((inner) => takeBasesOnSchedule({ recording, configuration, runtime, onNews }, inner));
  void chores.spawn((inner) => keepUp({ application, timezone: configuration.timezone, onNews, onAlarm }, inner));
  await recording.run(chores.run, last);
  // What ended it unasked is told.
  if (!run.signal.aborted) await chores.join();
  return { stores: [...recording.stores.keys()], lastMark: recording.lastMark?.id, gaps: recording.gapCount };
}
