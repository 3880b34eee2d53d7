import { spawnSync } from 'node:child_process';

/** The first number with dots that a program prints, or nothing when it can't be started or fails. */
export function versionPrintedBy(...[program, ...args]: readonly [string, ...string[]]): string | undefined {
  const { status, stdout } = spawnSync(program, args, { encoding: 'utf8' });
  return status === 0 ? /\d+(?:\.\d+)+\S*/.exec(stdout)?.[0] : undefined;
}
