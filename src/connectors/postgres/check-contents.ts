import type { BaseReader } from '../../core/restorer.ts';
import type { Run } from '../../core/run.ts';
import { readBaseFacts } from './base-facts.ts';
import { DUMP } from './plain-sql/recorder.ts';
import { storedDump } from './plain-sql/restorer.ts';
import { readCollations } from './server-facts.ts';

/** As `Connector.checkContents`: of a data directory what says how it is recovered; plain SQL to its end. */
export async function checkContents(base: BaseReader, run: Run): Promise<void> {
  // A data directory may have a file of that name, but never nothing else.
  if (base.entryCount === 1 && (await base.find(Buffer.from(DUMP), run)) !== undefined) {
    for await (const _ of storedDump(base, run)) run.signal.throwIfAborted();
    return;
  }
  await readBaseFacts(base, run);
  await readCollations(base, run);
}
