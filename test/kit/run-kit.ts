import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { PASSPHRASE } from './hand-made.ts';

export const KIT = fileURLToPath(new URL('../../kit/tidemark-kit.mjs', import.meta.url));

export type Ended = { readonly status: number | null; readonly out: string; readonly err: string };

export type KitOptions = {
  readonly passphrase?: string | undefined;
  readonly env?: Readonly<Record<string, string>> | undefined;
  readonly cwd?: string | undefined;
  /** For root: whom to run as. */
  readonly uid?: number | undefined;
};

/** Runs the kit to its end, without a terminal. */
export function runKit(args: readonly string[], options: KitOptions = {}): Ended {
  const { passphrase = PASSPHRASE, env = { TIDEMARK_PASSPHRASE: passphrase }, cwd, uid } = options;
  const { status, stdout, stderr } = spawnSync(process.execPath, [KIT, ...args], {
    env: { ...env },
    encoding: 'utf8',
    input: '',
    timeout: 120_000,
    ...(cwd !== undefined && { cwd }),
    ...(uid !== undefined && { uid, gid: uid }),
  });
  return { status, out: stdout, err: stderr };
}
