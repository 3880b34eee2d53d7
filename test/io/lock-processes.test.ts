import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'node:test';
import { must } from '../../src/core/must.ts';
import { readHolder, tryLock } from '../../src/io/lock.ts';
import { temporaryFolder } from '../../src/testing/tree/temporary-folder.ts';

const HOLDER = `
  const { tryLock } = await import(process.argv[1]);
  const lock = await tryLock(process.argv[2], { processId: process.pid, command: 'holder', sinceMs: 0 });
  process.stdout.write(lock === undefined ? 'busy' : 'held');
  if (lock !== undefined) setInterval(() => {}, 1000);
`;

test('a lock is kept from other processes and ends with the one that holds it, however that ends', async () => {
  await using folder = temporaryFolder();
  const path = folder.at('lock');
  const module = new URL('../../src/io/lock.ts', import.meta.url).href;
  const start = (): ReturnType<typeof spawn> =>
    spawn(process.execPath, ['--input-type=module', '-e', HOLDER, module, path], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
  const answerOf = async (child: ReturnType<typeof spawn>): Promise<string> => {
    const data: readonly unknown[] = await once(must(child.stdout, 'a pipe'), 'data');
    return String(data[0]);
  };

  const holder = start();
  assert.equal(await answerOf(holder), 'held');
  const mine = { processId: process.pid, command: 'test', sinceMs: 1 };
  assert.equal(await tryLock(path, mine), undefined);
  assert.deepEqual(await readHolder(path), { processId: holder.pid, command: 'holder', sinceMs: 0 });
  assert.equal(await answerOf(start()), 'busy');

  const ended = once(holder, 'exit');
  holder.kill('SIGKILL');
  await ended;
  await using _lock = must(await tryLock(path, mine), 'the lock ended with its process');
  assert.equal(await answerOf(start()), 'busy');
});
