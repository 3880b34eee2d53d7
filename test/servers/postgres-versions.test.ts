import assert from 'node:assert/strict';
import { test } from 'node:test';
import { needsPostgres } from './postgres-binaries.ts';
import type { PostgresVersion } from './postgres-binaries.ts';
import { promote, startPostgres, untilCaughtUp } from './postgres.ts';

const VERSIONS: readonly PostgresVersion[] = ['13', '14', '16', '17', '18'];

for (const version of VERSIONS) {
  test(
    `PostgreSQL ${version} starts, is followed by a standby and survives a kill`,
    needsPostgres(version),
    async () => {
      await using primary = await startPostgres({ version, initdb: ['--data-checksums'] });
      assert.equal((await primary.value('SHOW server_version')).split('.')[0], version);
      assert.equal(await primary.value('SHOW data_checksums'), 'on');
      await primary.query('CREATE TABLE a (n int); INSERT INTO a SELECT * FROM generate_series(1, 1000)');
      await using standby = await startPostgres({ standbyOf: { primary } });
      assert.equal(standby.version, version);
      await primary.query('INSERT INTO a VALUES (0)');
      await untilCaughtUp(standby, primary);
      await primary.kill();
      await primary.start();
      assert.equal(await primary.value('SELECT count(*) FROM a'), '1001');
      await promote(standby);
      assert.equal(await standby.value('SELECT count(*) FROM a'), '1001');
    },
  );
}
