import assert from 'node:assert/strict';
import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { formatLsn } from '../../../src/connectors/postgres/lsn.ts';
import { startPostgres, untilCaughtUp } from '../../servers/postgres.ts';
import type { PostgresServer } from '../../servers/postgres.ts';
import { waitUntil } from '../../servers/guarded.ts';
import { flush, insertPosition, takeBase } from './fixture.ts';
import { restoreTo, SEGMENT, sharedFolder } from './restore-fixture.ts';

const CHILD = join(import.meta.dirname, 'log-file-child.ts');
const KEEP = { wal_keep_size: '4GB' };

async function stamp(server: PostgresServer, n: number): Promise<bigint> {
  await server.query(`INSERT INTO stamps VALUES (${n})`);
  const lsn = await insertPosition(server);
  await flush(server);
  return lsn;
}

test('a standby follows the repository over whole files, the last bytes, and a failover', {
  timeout: 240_000,
}, async () => {
  await using primary = await startPostgres({ settings: KEEP });
  await primary.query('CREATE TABLE stamps (n int PRIMARY KEY)');
  await using folder = sharedFolder();
  await using second = await startPostgres({ standbyOf: { primary }, settings: KEEP });
  const taken = await takeBase(second, folder.at('base'));
  const lsn = await stamp(primary, 1);
  await untilCaughtUp(second, primary);
  const from = taken.start - (taken.start % SEGMENT);
  const headFile = folder.at('head');
  const tellHead = (to: bigint): void => {
    writeFileSync(headFile, `${formatLsn(from)}\n${formatLsn(to)}\n`);
    chmodSync(headFile, 0o644);
  };
  tellHead(lsn);
  const target = folder.at('follower');
  const followBy = [process.execPath, CHILD, second.folder, headFile, folder.at('cache'), '%f', '%p'];
  await restoreTo({ server: second, taken, target, lsn, followBy });
  await using follower = await startPostgres({ folder: target, settings: { wal_retrieve_retry_interval: '100ms' } });
  const newest = async (): Promise<string> => await follower.value('SELECT max(n) FROM stamps');
  assert.equal(await newest(), '1');
  await stamp(primary, 2);
  await primary.query("CREATE TABLE more AS SELECT repeat('x', 1000) FROM generate_series(1, 60000)");
  tellHead(await stamp(primary, 3));
  await untilCaughtUp(second, primary);
  await waitUntil('the follower has what was stored', async () => (await newest()) === '3');
  assert.equal(await follower.value('SELECT count(*) FROM more'), '60000');
  await primary.stop('immediate');
  await second.query('SELECT pg_promote()');
  tellHead(await stamp(second, 4));
  await waitUntil('the follower is on the new timeline', async () => (await newest()) === '4');
  assert.equal(await follower.value('SELECT pg_is_in_recovery()'), 'true');
  await follower.query('SELECT pg_promote()');
  await follower.query('INSERT INTO stamps VALUES (5)');
});
