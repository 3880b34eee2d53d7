import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readlinkSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { previewDataDirectory } from '../../../src/connectors/postgres/preview.ts';
import { isTidemarkError } from '../../../src/core/errors.ts';
import { waitUntil } from '../../servers/guarded.ts';
import { serverOwner, startPostgres } from '../../servers/postgres.ts';
import { flush, insertPosition, takeBase } from './fixture.ts';
import { numbersIn, restoreTo, SETTINGS, sharedFolder } from './restore-fixture.ts';

const seesAll = readlinkSync('/proc/self/ns/pid') === 'pid:[4026531836]';
const asRoot = { skip: process.geteuid?.() !== 0 && 'only root can put a process into a namespace of its own' };

async function restorable() {
  const server = await startPostgres({ settings: { wal_keep_size: '1GB' } });
  await server.query('CREATE TABLE stamps (n int PRIMARY KEY); INSERT INTO stamps VALUES (1)');
  const folder = sharedFolder();
  const taken = await takeBase(server, folder.at('base'));
  const lsn = await insertPosition(server);
  await flush(server);
  return { server, folder, restore: { server, taken, target: server.folder, lsn } };
}

test('nothing is restored onto the data directory of a server that runs in a container', asRoot, async () => {
  const { server, folder, restore } = await restorable();
  await using _folder = folder;
  await using _server = server;
  await server.stop();
  const { uid = 0, gid = 0 } = serverOwner() ?? {};
  const asOwner = ['setpriv', `--reuid=${uid}`, `--regid=${gid}`, '--clear-groups'];
  const program = [join(server.binFolder, 'postgres'), '-D', server.folder, '-c', `port=${server.port}`];
  const places = ['-c', `unix_socket_directories=${server.socketFolder}`, '-c', 'listen_addresses='];
  const namespace = ['--pid', '--fork', '--kill-child', '--mount-proc'];
  const child = spawn('unshare', [...namespace, ...asOwner, ...program, ...places], { stdio: 'ignore' });
  const ended = once(child, 'exit');
  try {
    const answers = async (): Promise<string> => await server.value('SELECT count(*) FROM stamps').catch(() => '');
    await waitUntil('the server in the container answers', async () => (await answers()) === '1');
    const { blockers } = previewDataDirectory(server.folder, SETTINGS, { id: 'r1' });
    assert.match(
      blockers.join(),
      /a server may run on .*: stop it first, or remove .*postmaster\.pid if no server runs/,
    );
    const { ino } = statSync(server.folder);
    await assert.rejects(restoreTo(restore), (error) => isTidemarkError(error, 'RESTORE_CONFLICT'));
    assert.equal(statSync(server.folder).ino, ino);
    assert.equal(await answers(), '1');
  } finally {
    child.kill('SIGKILL');
    await ended;
  }
});

test('a server that was killed is in nobody’s way', {
  skip: !seesAll && 'not all processes are seen here',
}, async () => {
  const { server, folder, restore } = await restorable();
  await using _folder = folder;
  await using _server = server;
  await server.kill();
  assert.ok(existsSync(join(server.folder, 'postmaster.pid')));
  assert.deepEqual(previewDataDirectory(server.folder, SETTINGS, { id: 'r1' }).blockers, []);
  await restoreTo(restore);
  assert.deepEqual(await numbersIn(server.folder), [1]);
});
