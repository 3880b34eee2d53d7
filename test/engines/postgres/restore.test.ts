import assert from 'node:assert/strict';
import { chownSync, existsSync, mkdirSync, readdirSync } from 'node:fs';
import { test } from 'node:test';
import { DataDirectoryRestorer } from '../../../src/connectors/postgres/restorer.ts';
import type { RestoreSettings } from '../../../src/connectors/postgres/restore-settings.ts';
import { positionOf } from '../../../src/connectors/postgres/lsn.ts';
import { temporaryFolder } from '../../../src/testing/tree/temporary-folder.ts';
import { serverOwner, startPostgres } from '../../servers/postgres.ts';
import type { PostgresServer } from '../../servers/postgres.ts';
import { flush, insertPosition, LINEAGE, logOf, run, runtime, takeBase } from './fixture.ts';
import type { TakenBase } from './fixture.ts';

const SEGMENT = 16n * 1024n * 1024n;
const SETTINGS: RestoreSettings = { endRecovery: 'promote', tablespaces: {} };

type Moment = { readonly lsn: bigint; readonly counter: number };

type RestoreAt = { readonly server: PostgresServer; readonly taken: TakenBase; readonly target: string; readonly lsn: bigint };

async function restoreTo({ server, taken, target, lsn }: RestoreAt, settings = SETTINGS, timeline = 1): Promise<string | undefined> {
  const context = { runtime, id: 'r1' };
  await using restorer = new DataDirectoryRestorer(target, settings, context, []);
  await restorer.restoreBase(taken.base, run);
  const from = taken.start - (taken.start % SEGMENT);
  await restorer.rollForward(logOf(server, { from, to: lsn }), positionOf({ timeline, lsn }, LINEAGE), run);
  await restorer.verify(run);
  return (await restorer.swap(run)).keptAside;
}

function sharedFolder(): ReturnType<typeof temporaryFolder> {
  const folder = temporaryFolder();
  const owner = serverOwner();
  if (owner) chownSync(folder.path, owner.uid, owner.gid);
  return folder;
}

async function counterIn(folder: string): Promise<number> {
  await using restored = await startPostgres({ folder });
  const counter = Number(await restored.value('SELECT coalesce(max(n), 0) FROM stamps'));
  assert.equal(Number(await restored.value('SELECT count(*) FROM stamps')), counter);
  return counter;
}

test('a restored data directory has exactly what was committed at the position', { timeout: 300_000 }, async () => {
  await using server = await startPostgres({ settings: { wal_keep_size: '4GB', synchronous_commit: 'off' } });
  await server.query('CREATE TABLE stamps (n int PRIMARY KEY, filler text)');
  await using folder = sharedFolder();
  const taken = await takeBase(server, folder.at('base'));
  const moments: Moment[] = [];
  for (let n = 1; n <= 300; n++) {
    await server.query(`INSERT INTO stamps VALUES (${n}, repeat('x', ${(n * 379) % 5000}))`);
    moments.push({ lsn: await insertPosition(server), counter: n });
  }
  await flush(server);
  for (const { lsn, counter } of [moments[0], moments[150], moments[299]].filter((one) => one !== undefined)) {
    const target = folder.at(`restored-${counter}`);
    await restoreTo({ server, taken, target, lsn });
    assert.equal(await counterIn(target), counter);
  }
  assert.deepEqual(readdirSync(folder.path).filter((name) => name.includes('tidemark')), ['.restored-1.tidemark-journal-r1']);
  assert.ok(!existsSync(folder.at('restored-1/tidemark_restore')));
  mkdirSync(folder.at('x'));
});
