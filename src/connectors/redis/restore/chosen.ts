import { spawn } from 'node:child_process';
import type { ChildProcessByStdio } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Readable, Writable } from 'node:stream';
import { systemCode, TidemarkError } from '../../../core/errors.ts';
import { excerpt } from '../../../core/printable.ts';
import type { Run, Runtime } from '../../../core/run.ts';
import type { ExpiryMap } from '../commands/command-filter.ts';
import { makeAofFolder } from './aof-folder.ts';
import type { AofFolder } from './aof-folder.ts';

/*
 * A part of the keys as they were at a point. Which of the commands of a log concern them can't be told from their words: RENAME, LMOVE, SUNIONSTORE and
 * others bring values from keys that are not meant to keys that are, and these are the results of all that was done to them before. So a server of our own,
 * which nobody can reach, takes in everything, and writes what it has then.
 */

/** Nothing may expire in it. */
const PARKED_MS = 1e14;
const PROGRAM = 'redis-server';
const SEARCHED = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
const MOST_LOG_CHARACTERS = 64 * 1024;

/** The expiry of a key of the chosen RDB, given how much later than at the point everything is to expire. */
export function chosenExpiry(shiftMs: number): ExpiryMap {
  return (atMs) => atMs - PARKED_MS + shiftMs;
}

/** Makes the RDB of all keys at the point out of what was staged. @throws UNSUPPORTED when this host has no redis-server that can load it */
export async function makeChosen(
  { files, temporaryFolder, ...databases }: Staged & Pick<Runtime, 'temporaryFolder'>,
  run: Run,
): Promise<void> {
  // Its socket's path may have a hundred characters.
  const folder = await mkdtemp(join(temporaryFolder, 'tm-'));
  try {
    const data = join(files.folder, 'scratch');
    const expiry = { map: (atMs: number) => atMs + PARKED_MS, fieldShiftMs: PARKED_MS };
    await makeAofFolder({ folder: data, target: data, files, hasLog: true, expiry, ...databases }, run);
    await loadAndSave({ data, databases: databases.databases }, join(folder, 'socket'), run);
    await rename(join(data, 'dump.rdb'), files.chosen);
    await rm(data, { recursive: true, force: true });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

type Staged = Pick<AofFolder, 'files' | 'streamDatabase' | 'databases'>;

async function loadAndSave(
  { data, databases }: { readonly data: string; readonly databases: number },
  socket: string,
  run: Run,
): Promise<void> {
  run.signal.throwIfAborted();
  const child = spawn(PROGRAM, ['-'], {
    cwd: data,
    env: { PATH: SEARCHED, LC_ALL: 'C' },
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  const onAbort = (): void => void child.kill('SIGKILL');
  run.signal.addEventListener('abort', onAbort, { once: true });
  const ended = once(child, 'close');
  ended.catch(() => undefined);
  let log = '';
  let isTold = false;
  try {
    child.stdin.on('error', () => undefined);
    child.stdin.end(configuration(data, socket, databases));
    for await (const piece of output(child)) {
      log = `${log}${piece.toString()}`.slice(-MOST_LOG_CHARACTERS);
      if (isTold || !/ready to accept connections/i.test(log)) continue;
      isTold = true;
      child.kill('SIGTERM');
    }
    const [status] = (await ended) as readonly unknown[];
    run.signal.throwIfAborted();
    if (status === 0) return;
  } catch (error) {
    run.signal.throwIfAborted();
    if (systemCode(error) !== 'ENOENT') throw error;
    throw new TidemarkError(
      'UNSUPPORTED',
      `a part of the keys can be restored only where there is a ${PROGRAM}, and this host has none`,
      {
        hint: 'Install Redis on this host (it need not run), restore to a moment of a base, or restore all into an empty server.',
      },
    );
  } finally {
    run.signal.removeEventListener('abort', onAbort);
    child.kill('SIGKILL');
  }
  const told =
    log
      .trim()
      .split('\n')
      .filter((line) => /[#] /.test(line))
      .at(-1) ??
    log.trim().split('\n').at(-1) ??
    '';
  throw new TidemarkError(
    'UNSUPPORTED',
    `the ${PROGRAM} of this host can’t load what was restored: ${excerpt(told, 200)}`,
    {
      hint: 'It must be of the version that was backed up, or newer, with the same modules.',
    },
  );
}

async function* output(child: ChildProcessByStdio<Writable, Readable, Readable>): AsyncGenerator<Buffer> {
  child.stderr.resume();
  const failed = Promise.withResolvers<never>();
  child.once('error', (error) => failed.reject(error));
  failed.promise.catch(() => undefined);
  await Promise.race([once(child, 'spawn'), failed.promise]);
  yield* child.stdout as AsyncIterable<Buffer>;
}

function configuration(data: string, socket: string, databases: number): string {
  return [
    'port 0',
    `unixsocket ${JSON.stringify(socket)}`,
    'unixsocketperm 700',
    `dir ${JSON.stringify(data)}`,
    'dbfilename dump.rdb',
    'appendonly yes',
    'appendfsync no',
    'auto-aof-rewrite-percentage 0',
    'save ""',
    `databases ${databases}`,
    'shutdown-on-sigterm save',
    '',
  ].join('\n');
}
