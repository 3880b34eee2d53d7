import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startPostgres } from '../../servers/postgres.ts';
import { flush, insertPosition, takeBase } from './fixture.ts';
import { numbersIn, restoreTo, sharedFolder } from './restore-fixture.ts';

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
