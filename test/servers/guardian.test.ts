import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { waitUntil } from './guarded.ts';
import { needsPostgres } from './postgres-binaries.ts';

const SERVERS = `
  const { startRedis } = await import(${JSON.stringify(join(import.meta.dirname, 'redis.ts'))});
  const { startPostgres } = await import(${JSON.stringify(join(import.meta.dirname, 'postgres.ts'))});
  const redis = await startRedis();
  const paused = await startRedis();
  const postgres = await startPostgres();
  await paused.pause();
  console.log(JSON.stringify([redis, paused, postgres].map(({ pid, folder }) => ({ pid, folder }))));
`;

type Started = { readonly pid: number; readonly folder: string };

/** Of the system, by id. Others may have pieces of their own. */
function sharedMemory(): readonly string[] {
  const lines = readFileSync('/proc/sysvipc/shm', 'utf8').split('\n').slice(1);
  return lines.map((line) => line.trim().split(/\s+/)[1] ?? '').filter((id) => id !== '');
}

/** What processes say of their own working folder. */
function processesIn(folders: readonly string[]): readonly string[] {
  return readdirSync('/proc').filter((name) => {
    if (!/^\d+$/.test(name)) return false;
    try {
      return folders.some((folder) => readFileSync(`/proc/${name}/cmdline`, 'utf8').includes(folder));
    } catch {
      return false;
    }
  });
}

const ENDINGS = [
  ['its last line', 'SIGCONT', ''],
  ['an error', 'SIGCONT', 'throw new Error("a test failed")'],
  ['kill -9', 'SIGKILL', 'setInterval(() => {}, 1000)'],
  ['Ctrl-C', 'SIGINT', 'setInterval(() => {}, 1000)'],
] as const;

for (const [what, signal, script] of ENDINGS) {
  test(`servers and folders are gone when the process of a test ended by ${what}`, needsPostgres(), async () => {
    const command = ['--input-type=module', '-e', `${SERVERS}\n${script}`];
    const child = spawn(process.execPath, command, { stdio: ['ignore', 'pipe', 'ignore'], detached: true });
    const [line] = (await once(child.stdout, 'data')) as [Buffer];
    // Written by the script above.
    const started = JSON.parse(line.toString()) as readonly Started[];
    assert.equal(started.length, 3);
    assert.ok(child.pid !== undefined);
    const [, piece = ''] = (readFileSync(join(started[2]?.folder ?? '', 'postmaster.pid'), 'utf8').split('\n')[6] ?? '')
      .trim()
      .split(/\s+/);
    assert.ok(sharedMemory().includes(piece));
    // As a terminal does it: to all of the group.
    if (signal === 'SIGINT') process.kill(-child.pid, signal);
    else child.kill(signal);
    const folders = started.map(({ folder }) => folder);
    await waitUntil('processes and folders are gone', () => {
      const isEnded = processesIn(folders).length === 0 && !sharedMemory().includes(piece);
      return isEnded && folders.every((folder) => !existsSync(folder));
    });
  });
}
