import { readBase } from './fixture.ts';
import { restoreTo } from './restore-fixture.ts';

/** Restores what the arguments say, to be killed while it does: `FOLDER-OF-SERVER BASE TARGET LSN`. */
const [folder = '', base = '', target = '', lsn = ''] = process.argv.slice(2);
await restoreTo({ server: { folder }, taken: readBase(base, folder), target, lsn: BigInt(lsn) });
