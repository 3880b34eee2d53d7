import { chownSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { positionOf } from '../../../src/connectors/postgres/lsn.ts';
import type { RestoreSettings } from '../../../src/connectors/postgres/restore-settings.ts';
import { DataDirectoryRestorer } from '../../../src/connectors/postgres/data-directory-restorer.ts';
import { temporaryFolder } from '../../../src/testing/tree/temporary-folder.ts';
import type { TemporaryFolder } from '../../../src/testing/tree/temporary-folder.ts';
import { serverOwner, startPostgres } from '../../servers/postgres.ts';
import { LINEAGE, logOf, run, runtime } from './fixture.ts';
import type { TakenBase } from './fixture.ts';

export const SEGMENT = 16n * 1024n * 1024n;
export const SETTINGS: RestoreSettings = { endRecovery: 'promote', tablespaces: {} };

export type RestoreAt = {
  readonly server: { readonly folder: string };
  readonly taken: TakenBase;
  readonly target: string;
  readonly lsn: bigint;
  readonly timeline?: number;
  readonly from?: bigint;
  readonly followBy?: readonly string[];
  readonly users?: readonly string[];
};

export async function restoreTo(
  { server, taken, target, lsn, timeline = 1, from, followBy, users = [] }: RestoreAt,
  settings = SETTINGS,
): Promise<string | undefined> {
  const context = { runtime, id: 'r1', followBy };
  await using restorer = new DataDirectoryRestorer(target, settings, context, users);
  await restorer.restoreBase(taken.base, run);
  const begin = from ?? taken.start - (taken.start % SEGMENT);
  await restorer.rollForward(logOf(server, { from: begin, to: lsn }), positionOf({ timeline, lsn }, LINEAGE), run);
  await restorer.verify(run);
  return (await restorer.swap(run)).keptAside;
}

export function sharedFolder(): TemporaryFolder {
  const folder = temporaryFolder();
  const owner = serverOwner();
  if (owner) chownSync(folder.path, owner.uid, owner.gid);
  return folder;
}

/** The numbers that are there, of a server that is started on the folder. */
export async function numbersIn(folder: string): Promise<readonly number[]> {
  await using restored = await startPostgres({ folder });
  return (await restored.query('SELECT n FROM stamps ORDER BY n')).map(({ n }) => Number(n));
}

/** Servers whose data directory is below a folder. */
export function serversBelow(folder: string): number {
  return readdirSync('/proc').filter((pid) => {
    try {
      return (
        readlinkSync(`/proc/${pid}/cwd`).startsWith(folder) &&
        /postgres/.test(readFileSync(`/proc/${pid}/comm`, 'utf8'))
      );
    } catch {
      // It is no process, or not any more.
      return false;
    }
  }).length;
}
