import { isTidemarkError } from '../../core/errors.ts';
import type { Run, Runtime } from '../../core/run.ts';
import { openDatabase } from './database.ts';
import { withStoreErrors } from './errors.ts';
import type { EmbeddedPlace } from './place.ts';

/** A wait blocks the thread: it is short, and made again. */
const BUSY_TIMEOUT_MS = 20;
const RETRY_MS = 10;

/** Keeps all writers waiting until it is disposed. Waits for one that is at work, as long as the run goes on. */
export async function holdStore(
  { file }: EmbeddedPlace,
  { clock }: Pick<Runtime, 'clock'>,
  run: Run,
): Promise<AsyncDisposable> {
  const database = openDatabase({ path: file, mustExist: true, durable: true, busyTimeoutMs: BUSY_TIMEOUT_MS });
  try {
    while (!tryBegin()) await clock.sleep(RETRY_MS, run);
  } catch (error) {
    database.close();
    throw error;
  }
  return {
    async [Symbol.asyncDispose]() {
      // Which also ends the transaction.
      database.close();
    },
  };

  function tryBegin(): boolean {
    try {
      withStoreErrors(file, () => database.exec('BEGIN IMMEDIATE'));
      return true;
    } catch (error) {
      if (!isTidemarkError(error, 'BUSY')) throw error;
      return false;
    }
  }
}
