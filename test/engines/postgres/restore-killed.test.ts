import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { isTidemarkError } from '../../../src/core/errors.ts';
import { DataDirectoryRestorer } from '../../../src/connectors/postgres/data-directory-restorer.ts';
import { discardDataDirectory } from '../../../src/connectors/postgres/undo.ts';
import { startPostgres } from '../../servers/postgres.ts';
import { waitUntil } from '../../servers/guarded.ts';
import { flush, insertPosition, run, runtime, takeBase } from './fixture.ts';
import { numbersIn, restoreTo, serversBelow, SETTINGS, sharedFolder } from './restore-fixture.ts';
import type { RestoreAt } from './restore-fixture.ts';

const CHILD = join(import.meta.dirname, 'restore-child.ts');

/** Where the last call had begun the exchange only that is left to do, or nothing. */
async function finish(restore: RestoreAt): Promise<void> {
  try {
    await restoreTo(restore);
  } catch (error) {
    if (!isTidemarkError(error, 'RESTORE_UNFINISHED')) throw error;
    await using restorer = new DataDirectoryRestorer(restore.target, SETTINGS, { runtime, id: 'r1' }, []);
    await restorer.swap(run);
  }
}

test('a restore that is killed at any moment is finished by the next call, and no server is left', {
  timeout: 300_000,
}, async () => {
  await using server = await startPostgres({ settings: { wal_keep_size: '4GB' } });
  await server.query('CREATE TABLE stamps (n int PRIMARY KEY)');
  await using folder = sharedFolder();
  const taken = await takeBase(server, folder.at('base'));
  await server.query("CREATE TABLE much AS SELECT repeat('x', 900) FROM generate_series(1, 150000)");
  await server.query('INSERT INTO stamps VALUES (1)');
  const lsn = await insertPosition(server);
  await flush(server);
  const target = folder.at('restored');
  let killed = 0;
  for (const afterMs of [400, 900, 1500, 2200, 3000]) {
    const child = spawn(process.execPath, [CHILD, server.folder, folder.at('base'), target, String(lsn)], {
      stdio: 'ignore',
    });
    const exit = once(child, 'exit');
    await Promise.race([exit, sleep(afterMs)]);
    if (child.exitCode === null && child.signalCode === null) killed++;
    child.kill('SIGKILL');
    await exit;
    if (child.exitCode !== null) break;
  }
  assert.ok(killed > 0);
  await finish({ server, taken, target, lsn });
  assert.deepEqual(await numbersIn(target), [1]);
  await discardDataDirectory(target, { runtime, id: 'r1' }, run);
  await waitUntil('the servers of killed restores have ended', () => serversBelow(folder.path) === 0);
  assert.deepEqual(readdirSync(folder.path).sort(), ['base', 'restored']);
});
