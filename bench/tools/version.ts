import { spawnSync } from 'node:child_process';

/** The first line that a program prints, or nothing when it can't be started. */
export function firstLineOf(...[program, ...args]: readonly [string, ...string[]]): string | undefined {
  const { error, stdout } = spawnSync(program, args, { encoding: 'utf8' });
  return error === undefined ? stdout.split('\n')[0]?.trim() : undefined;
}
