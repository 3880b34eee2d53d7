import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { openEmbedded } from '../../src/connectors/embedded/connector.ts';
import { runKit } from '../kit/run-kit.ts';
import type { Ended } from '../kit/run-kit.ts';
import { catalogIn, PASSPHRASE, uploadsIn } from './logged-shop.ts';
import type { Moment } from './logged-shop.ts';

const main = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));

/** Runs the product without a manifest, from another place, and returns its last line. */
export function tidemark(home: string, ...args: readonly string[]): Ended & { readonly json: unknown } {
  const { status, stdout, stderr } = spawnSync(process.execPath, [main, ...args, '--json'], {
    cwd: home,
    env: { PATH: process.env['PATH'] ?? '', HOME: home, XDG_STATE_HOME: home, TIDEMARK_PASSPHRASE: PASSPHRASE },
    encoding: 'utf8',
    input: '',
    timeout: 120_000,
  });
  const [last = ''] = stdout.trimEnd().split('\n').slice(-1);
  return { status, out: stdout, err: stderr, json: last === '' ? undefined : JSON.parse(last) };
}

export function kit(...args: readonly string[]): Ended {
  const ended = runKit(args, { passphrase: PASSPHRASE });
  assert.doesNotMatch(ended.err, / {4}at |TypeError|ReferenceError/);
  return ended;
}

export function assertMoment(folder: string, { uploads, catalog }: Moment, label: string): void {
  assert.deepEqual(uploadsIn(join(folder, 'uploads')), uploads, label);
  assertCatalog(folder, catalog, label);
}

export function assertCatalog(folder: string, catalog: Moment['catalog'], label: string): void {
  using store = openEmbedded(join(folder, 'catalog'), { mustExist: true });
  assert.deepEqual(catalogIn(store), catalog, label);
}
