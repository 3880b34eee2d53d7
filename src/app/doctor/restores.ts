import type { Finding } from '../../core/finding.ts';
import { isTidemarkError } from '../../core/errors.ts';
import type { Run } from '../../core/run.ts';
import type { OpenApplication } from '../application.ts';
import { isUnfinished, listJournals } from '../restore-journal.ts';
import { refuseOtherRestores } from '../restore-place.ts';

/** What restores of this host left: unfinished work, and data that they kept aside. */
export async function checkRestores(application: OpenApplication, run: Run): Promise<readonly Finding[]> {
  const journals = await listJournals(application.stateFolder);
  const kept = journals
    .filter((journal) => !isUnfinished(journal))
    .flatMap(({ stores }) => stores.flatMap(({ keptAside }) => keptAside ?? []));
  const findings: Finding[] = kept.map((path) => ({
    code: 'KEPT_ASIDE',
    severity: 'note',
    message: `a restore keeps what was there before in ${path}`,
    hint: 'When it is not needed any more, `tidemark restore --discard` deletes it, with all else that restores of this host kept aside.',
  }));
  try {
    await refuseOtherRestores(application, run);
  } catch (error) {
    if (!isTidemarkError(error)) throw error;
    const severity = error.code === 'BUSY' ? 'note' : 'error';
    findings.push({ code: error.code, severity, message: error.message, hint: error.hint });
  }
  return findings;
}
