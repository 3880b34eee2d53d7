import type { Recording } from '../app/recording.ts';
import type { StoreRecording } from '../app/store-recording.ts';
import type { Configuration } from '../config/configuration.ts';
import { nextOccurrence } from '../core/cron-times.ts';
import { operatorError } from '../core/errors.ts';
import type { Run, Runtime } from '../core/run.ts';
import { backOffDelayMs } from '../flow/back-off.ts';
import { runOnSchedule } from '../flow/schedule.ts';

const JITTER_MS = 60_000;
/** Until a base that failed is tried again. */
const BACK_OFF = { firstMs: 2 * 60_000, maxMs: 60 * 60_000 };
const ATTEMPTS = 6;

export type BaseScheduleOptions = {
  readonly recording: Recording;
  readonly configuration: Configuration;
  readonly runtime: Runtime;
  readonly onNews: (message: string) => void;
};

/** When the next base of a store is due. */
export function nextBaseMs(configuration: Configuration, store: string, nowMs: number): number | undefined {
  const found = configuration.stores.find(({ name }) => name === store);
  return found && nextOccurrence(found.bases, configuration.timezone, nowMs);
}

/** Takes a base of each store when its schedule says so; those missed while nobody was there once, at once. */
export async function takeBasesOnSchedule(options: BaseScheduleOptions, run: Run): Promise<void> {
  const { recording, configuration, runtime } = options;
  const { clock, random } = runtime;
  const common = { timezone: configuration.timezone, clock, random, jitterMs: JITTER_MS };
  const stores = [...recording.stores.values()];
  await Promise.all(
    stores.map(async (store) => {
      const onDue = (_: number, inner: Run): Promise<void> => takeBase(store, options, inner);
      await store.settled(run);
      await runOnSchedule({ ...common, schedule: store.store.bases, lastRunMs: store.lastBaseMs, onDue }, run);
    }),
  );
}

async function takeBase(store: StoreRecording, { runtime, onNews }: BaseScheduleOptions, run: Run): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      await store.takeBase({ allowEmpty: false }, run);
      return;
    } catch (thrown) {
      run.signal.throwIfAborted();
      const error = operatorError(thrown, `no base of ${store.store.name} can be taken`);
      if (error === undefined) throw thrown;
      onNews(`${store.store.name}: no base: ${error.message}. ${error.hint}`);
      if (attempt === ATTEMPTS) return;
      await runtime.clock.sleep(backOffDelayMs(attempt, BACK_OFF, runtime.random), run);
    }
  }
}
