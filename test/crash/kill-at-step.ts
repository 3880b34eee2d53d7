/**
 * Loaded before a program: counts the durable steps of its main thread and kills it, as `kill -9` does, before step TIDEMARK_KILL_AT (from 0).
 * The number of steps goes to the file TIDEMARK_STEPS when the program ends by itself.
 */
import fs from 'node:fs';
import fsPromises from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';
import process from 'node:process';
import { isMainThread } from 'node:worker_threads';

type Functions = Record<string, ((...args: unknown[]) => unknown) | undefined>;

const STEPS = ['fsync', 'fdatasync', 'link', 'rename', 'unlink', 'rm', 'rmdir', 'mkdir'];
const killAt = Number(process.env['TIDEMARK_KILL_AT'] ?? -1);
let steps = 0;

function countCalls(module: object, names: readonly string[]): void {
  // Whatever a module exports can be looked up by name.
  const functions = module as Functions;
  for (const name of names) {
    const original = functions[name];
    if (original === undefined) continue;
    functions[name] = function counted(this: unknown, ...args: unknown[]): unknown {
      if (steps === killAt) process.kill(process.pid, 'SIGKILL');
      steps += 1;
      return original.apply(this, args);
    };
  }
}

if (isMainThread && process.argv[1]?.endsWith('main.ts') === true) {
  const handle = await fsPromises.open('/dev/null');
  countCalls(Object.getPrototypeOf(handle) as object, ['sync', 'datasync']);
  await handle.close();
  countCalls(fsPromises, STEPS);
  countCalls(fs, [...STEPS, ...STEPS.map((name) => `${name}Sync`)]);
  syncBuiltinESMExports();
  process.on('exit', () => fs.writeFileSync(process.env['TIDEMARK_STEPS'] ?? '/dev/null', String(steps)));
}
