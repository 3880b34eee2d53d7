import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { parseControlFile } from '../../../src/connectors/postgres/control-file.ts';
import { DataDirectoryRestorer } from '../../../src/connectors/postgres/data-directory-restorer.ts';
import { positionOf } from '../../../src/connectors/postgres/lsn.ts';
import { openPostgresRecorder } from '../../../src/connectors/postgres/recorder.ts';
import { compareBytes } from '../../../src/core/bytes.ts';
import type { BaseEnd } from '../../../src/core/recorder.ts';
import type { BaseReader } from '../../../src/core/restorer.ts';
import { memoryReader, recordInMemory } from '../../../src/testing/tree/memory-base.ts';
import { needsPostgres } from '../../servers/postgres-binaries.ts';
import type { PostgresVersion } from '../../servers/postgres-binaries.ts';
import { startPostgres } from '../../servers/postgres.ts';
import type { PostgresServer } from '../../servers/postgres.ts';
import { flush, insertPosition, LINEAGE, logOf, run, runtime } from './fixture.ts';
import { placeOfUrl } from './recording.ts';
import { SETTINGS, sharedFolder } from './restore-fixture.ts';

const SERVER_SETTINGS = {
  wal_keep_size: '4GB',
  max_connections: '33',
  max_worker_processes: '9',
  max_wal_senders: '11',
  max_prepared_transactions: '5',
  max_locks_per_transaction: '70',
  track_commit_timestamp: 'on',
  wal_log_hints: 'on',
  wal_level: 'logical',
};

const VERSIONS: readonly PostgresVersion[] = ['13', '14', '15', '16', '17', '18'];

async function recordBase(server: PostgresServer): Promise<{ readonly base: BaseReader; readonly end: BaseEnd }> {
  await using recorder = await openPostgresRecorder(placeOfUrl(server.url), { runtime }, run);
  await using base = await recorder.openBase(run);
  const { all, end } = await recordInMemory(base, run);
  return { base: memoryReader(all.toSorted((left, right) => compareBytes(left.name, right.name))), end };
}

for (const version of VERSIONS) {
  test(`PostgreSQL ${version} is restored to a position, from a recorded base`, needsPostgres(version), async () => {
    await using server = await startPostgres({ version, settings: SERVER_SETTINGS });
    await server.query('CREATE TABLE stamps (n int PRIMARY KEY); INSERT INTO stamps VALUES (1)');
    const { base, end } = await recordBase(server);
    await server.query('INSERT INTO stamps VALUES (2)');
    const lsn = await insertPosition(server);
    await server.query('INSERT INTO stamps VALUES (3)');
    await flush(server);
    const control = parseControlFile(readFileSync(join(server.folder, 'global/pg_control')));
    for (const [name, value] of Object.entries(control.settings)) {
      assert.equal(await server.value(`SHOW ${name}`), value, name);
    }
    assert.equal(
      control.systemIdentifier,
      BigInt(await server.value('SELECT system_identifier FROM pg_control_system()')),
    );
    assert.equal(control.segmentBytes, 16 << 20);
    assert.equal(control.hasChecksums, (await server.value('SHOW data_checksums')) === 'on');
    await using folder = sharedFolder();
    const target = folder.at('restored');
    {
      const settings = { ...SETTINGS, binFolder: server.binFolder };
      await using restorer = new DataDirectoryRestorer(target, settings, { runtime, id: 'r1' }, []);
      await restorer.restoreBase(base, run);
      const log = logOf(server, { from: BigInt(end.logFrom.order), to: lsn });
      await restorer.rollForward(log, positionOf({ timeline: 1, lsn }, LINEAGE), run);
      await restorer.verify(run);
      await restorer.swap(run);
    }
    await using restored = await startPostgres({ folder: target, version });
    assert.equal(await restored.value("SELECT string_agg(n::text, ',' ORDER BY n) FROM stamps"), '1,2');
  });
}
