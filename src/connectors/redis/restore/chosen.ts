import { spawn } from 'node:child_process';
import type { ChildProcessByStdio } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { open, rename, rm } from 'node:fs/promises';
import { basename, join } from 'node:path';
import type { Readable, Writable } from 'node:stream';
import { TidemarkError } from '../../../core/errors.ts';
import { excerpt } from '../../../core/printable.ts';
import type { Run } from '../../../core/run.ts';
import { makeAofFolder } from './aof-folder.ts';
import type { AofFolder } from './aof-folder.ts';
import { parked } from './expiry.ts';

/*
 * A part of the keys as they were at a point. Which of the commands of a log concern them can't be told from their words: RENAME, LMOVE, SUNIONSTORE and
 * others bring values from keys that are not meant to keys that are, and these are the results of all that was done to them before. So a server of our own,
 * which nobody can reach, takes in everything, and writes what it has then.
 */

const FOLDERS = ['/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin'];
const MOST_LOG_CHARACTERS = 64 * 1024;
const MAKER_BYTES = 6;
/** Process, role, time and level, as in `5457:M 28 Nov 2026 00:02:40.322 # `. */
const LOG_PREFIX = /^\d+:\w [^#*]*[#*] /;

/** Makes the RDB of all keys at the point out of what was staged, with their expiries parked. @throws UNSUPPORTED when this host has no server that can load it */
export async function makeChosen(
  { files, ...databases }: Pick<AofFolder, 'files' | 'streamDatabase' | 'databases'>,
  run: Run,
): Promise<void> {
  const data = join(files.folder, 'scratch');
  // Nothing may expire in it.
  await makeAofFolder({ folder: data, target: data, files, hasLog: true, expiry: parked, ...databases }, run);
  const program = chooseProgram(await beginningOf(files.rdb), existsSync);
  await loadAndSave({ data, program, databases: databases.databases }, run);
  await rename(join(data, 'dump.rdb'), files.chosen);
  await rm(data, { recursive: true, force: true });
}

/** Where a server lies that may load an RDB which begins so: one of Valkey 9 and later only Valkey knows. @throws UNSUPPORTED when there is none */
export function chooseProgram(rdb: string, isThere: (path: string) => boolean): string {
  const names = rdb.startsWith('VALKEY') ? ['valkey-server'] : ['redis-server', 'valkey-server'];
  const found = names.flatMap((name) => FOLDERS.map((folder) => join(folder, name))).find(isThere);
  if (found !== undefined) return found;
  throw new TidemarkError(
    'UNSUPPORTED',
    `a part of the keys can be restored only where there is a ${names[0]}, and this host has none`,
    {
      hint: 'Install it on this host (it need not run), restore to a moment of a base, or restore all into an empty server.',
    },
  );
}

async function beginningOf(path: string): Promise<string> {
  await using file = await open(path);
  const { buffer, bytesRead } = await file.read(Buffer.alloc(MAKER_BYTES), 0, MAKER_BYTES, 0);
  return buffer.toString('latin1', 0, bytesRead);
}

async function loadAndSave(
  { data, program, databases }: { readonly data: string; readonly program: string; readonly databases: number },
  run: Run,
): Promise<void> {
  run.signal.throwIfAborted();
  const child = spawn(program, ['-'], {
    cwd: data,
    env: { PATH: FOLDERS.join(':'), LC_ALL: 'C' },
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
    child.stdin.end(configuration(data, databases));
    for await (const piece of output(child)) {
      log = `${log}${piece.toString()}`.slice(-MOST_LOG_CHARACTERS);
      if (isTold || !/ready to accept connections/i.test(log)) continue;
      isTold = true;
      child.kill('SIGTERM');
    }
    const [status] = (await ended) as readonly unknown[];
    run.signal.throwIfAborted();
    if (status === 0) return;
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
    `the ${basename(program)} of this host can’t load what was restored: ${excerpt(told.replace(LOG_PREFIX, ''), 200)}`,
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

function configuration(data: string, databases: number): string {
  return [
    'port 0',
    // In the folder where it was started, whose whole path may be longer than a socket's can.
    'unixsocket socket',
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
