import type { Finding } from '../../core/finding.ts';
import { isTidemarkError } from '../../core/errors.ts';
import type { OpenApplication } from '../application.ts';
import { isUnfinished, listJournals, refuseUnfinished } from '../restore-journal.ts';

/** What restores of this host left: unfinished work, and data that they kept aside. */
export async function checkRestores({ stateFolder }: OpenApplication): Promise<readonly Finding[]> {
  const journals = await listJournals(stateFolder);
  const kept = journals
    .filter((journal) => !isUnfinished(journal))
    .flatMap(({ stores }) => stores.flatMap(({ keptAside }) => keptAside ?? []));
  const findings: Finding[] = kept.map((path) => ({
    code: 'KEPT_ASIDE',
    severity: 'note',
    message: `a restore keeps what was there before in ${path}`,
    hint: 'Delete it with `tidemark restore --discard` when it is not needed any more.',
  }));
  try {
    refuseUnfinished(journals);
  } catch (error) {
    if (!isTidemarkError(error, 'RESTORE_UNFINISHED')) throw error;
    findings.push({ code: error.code, severity: 'error', message: error.message, hint: error.hint });
  }
  return findings;
}
