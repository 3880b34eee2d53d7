import { createHash } from 'node:crypto';
import { chmodSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { TidemarkError } from '../../../core/errors.ts';
import type { Owner } from '../owner.ts';

/**
 * Where a server can run that nobody but a restore needs: in the restore's own folder, or else among the scratch files of this host, when the
 * server's user can't get into the first. `workFolder` exists. @throws UNSUPPORTED
 */
export function scratchFolder(workFolder: string, temporaryFolder: string, owner: Owner): string {
  if (canEnter(dirname(workFolder), owner)) {
    // To be passed through, not to be looked into.
    chmodSync(workFolder, 0o711);
    return join(workFolder, 'server');
  }
  const name = createHash('sha256').update(workFolder).digest('hex').slice(0, 16);
  if (canEnter(temporaryFolder, owner)) return join(temporaryFolder, `tidemark-server-${name}`);
  throw new TidemarkError(
    'UNSUPPORTED',
    `the user ${owner.uid}, as whom a server has to run, can enter neither ${workFolder} nor ${temporaryFolder}`,
    {
      hint: 'Name a folder for scratch files that this user can enter, by TMPDIR.',
    },
  );
}

function canEnter(folder: string, { uid, gid }: Owner): boolean {
  for (let at = folder; ; at = dirname(at)) {
    const status = statSync(at, { throwIfNoEntry: false });
    if (status !== undefined) {
      const bit = status.uid === uid ? 0o100 : status.gid === gid ? 0o010 : 0o001;
      if ((status.mode & bit) === 0) return false;
    }
    if (at === '/') return true;
  }
}
