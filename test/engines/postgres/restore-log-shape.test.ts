import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { readBaseFacts } from '../../../src/connectors/postgres/base-facts.ts';
import { DataDirectoryRestorer } from '../../../src/connectors/postgres/data-directory-restorer.ts';
import { positionOf } from '../../../src/connectors/postgres/lsn.ts';
import { findTarget } from '../../../src/connectors/postgres/target-place.ts';
import type { LogReader } from '../../../src/core/restorer.ts';
import { waitUntil } from '../../servers/guarded.ts';
import { promote, startPostgres, untilCaughtUp } from '../../servers/postgres.ts';
import { flush, insertPosition, LINEAGE, logOf, run, runtime, takeBase } from './fixture.ts';
import { numbersIn, restoreTo, SETTINGS, sharedFolder } from './restore-fixture.ts';

for (const megabytes of [1, 64]) {
  test(`a server whose log has files of ${megabytes} MB is restored`, async () => {
    const settings = { wal_keep_size: '1GB' };
    await using server = await startPostgres({ initdb: [`--wal-segsize=${megabytes}`], settings });
    await using folder = sharedFolder();
    await server.query('CREATE TABLE stamps (n int PRIMARY KEY)');
    const taken = await takeBase(server, folder.at('base'));
    await server.query('INSERT INTO stamps SELECT generate_series(1, 60000)');
    const lsn = await insertPosition(server);
    await flush(server);
    await restoreTo({ server, taken, target: folder.at('a'), lsn, from: taken.start });
    assert.equal((await numbersIn(folder.at('a'))).length, 60_000);
  });
}

test('a base is rolled forward through any length of log, also when its checkpoint ended in a later file than it began in', {
  timeout: 120_000,
}, async () => {
  const slow = { checkpoint_timeout: '1h', checkpoint_completion_target: '0.9', max_wal_size: '4GB' };
  const settings = { ...slow, wal_keep_size: '1GB', bgwriter_lru_maxpages: '0', autovacuum: 'off' };
  await using server = await startPostgres({ initdb: ['--wal-segsize=1'], settings });
  await using folder = sharedFolder();
  await server.query("CREATE TABLE dirty AS SELECT repeat('x', 1000) FROM generate_series(1, 10000)");
  await server.query('CREATE TABLE stamps (n int PRIMARY KEY)');
  const taking = takeBase(server, folder.at('base'), 'spread');
  const delayed = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'CheckpointWriteDelay'";
  await waitUntil('the checkpoint has begun', async () => (await server.value(delayed)) === '1');
  const fill = async (files: number): Promise<void> => {
    for (let count = 0; count < files; count++) {
      await server.query('INSERT INTO stamps SELECT count(*) + 1 FROM stamps; SELECT pg_switch_wal()');
    }
  };
  await fill(3);
  // The one that runs goes on in a hurry. CHECKPOINT would make another one behind it, which the base may take for its own.
  await server.query('ALTER SYSTEM SET checkpoint_completion_target = 0');
  await server.query('SELECT pg_reload_conf()');
  const taken = await taking;
  const facts = await readBaseFacts(taken.base, run);
  assert.ok(facts.checkpoint - facts.redo > 1 << 20);
  await fill(100);
  const lsn = await insertPosition(server);
  await flush(server);
  await restoreTo({ server, taken, target: folder.at('a'), lsn, from: taken.start });
  assert.equal((await numbersIn(folder.at('a'))).length, 103);
});

test('rolling forward through a failover unpacks only so much of the log as the server takes', {
  timeout: 120_000,
}, async () => {
  const settings = { wal_keep_size: '1GB' };
  await using primary = await startPostgres({ initdb: ['--wal-segsize=1'], settings });
  await using folder = sharedFolder();
  await primary.query('CREATE TABLE stamps (n int PRIMARY KEY)');
  const taken = await takeBase(primary, folder.at('base'));
  await using standby = await startPostgres({ standbyOf: { primary }, settings });
  for (let n = 1; n <= 150; n++) await primary.query(`INSERT INTO stamps VALUES (${n}); SELECT pg_switch_wal()`);
  await untilCaughtUp(standby, primary);
  await primary.stop('immediate');
  await promote(standby);
  await standby.query('INSERT INTO stamps VALUES (151)');
  const lsn = await insertPosition(standby);
  await flush(standby);
  const target = folder.at('a');
  const log = logOf(standby, { from: taken.start, to: lsn });
  let most = 0;
  const watched: LogReader = {
    async *read(readRun) {
      for await (const batch of log.read(readRun)) {
        yield batch;
        const waiting = join(findTarget(target, 'r1').fresh, 'tidemark_restore/wal');
        most = Math.max(most, readdirSync(waiting).length);
      }
    },
  };
  await using restorer = new DataDirectoryRestorer(target, SETTINGS, { runtime, id: 'r1' }, []);
  await restorer.restoreBase(taken.base, run);
  await restorer.rollForward(watched, positionOf({ timeline: 2, lsn }, LINEAGE), run);
  assert.ok(most > 5 && most < 75, `${most} files waited`);
  await restorer.verify(run);
  await restorer.swap(run);
  assert.equal((await numbersIn(target)).length, 151);
});
