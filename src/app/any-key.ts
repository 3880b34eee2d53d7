import type { Run } from '../core/run.ts';
import type { RepositoryAccess } from '../repository/access.ts';
import type { OpenApplication } from './application.ts';

/**
 * Opens the repository to look at what is in it, with whatever key this host has without asking; else it asks for the passphrase.
 * `isWriterOnly`: with the credential that it keeps, which can't read what was backed up. @throws KEY_REFUSED, SECRET_MISSING
 */
export async function openWithAnyKey(
  application: OpenApplication,
  run: Run,
): Promise<{ readonly access: RepositoryAccess; readonly isWriterOnly: boolean }> {
  const isWriterOnly =
    (await application.context.knownPassphrase()) === undefined && (await application.keepsWriterCredential());
  const access = isWriterOnly
    ? await application.openAsWriter(run, { dryRun: true })
    : await application.openAsReader(run);
  return { access, isWriterOnly };
}
