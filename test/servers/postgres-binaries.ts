import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { withFileLock } from './file-lock.ts';
import { findProgram, needs } from './needs.ts';

const run = promisify(execFile);

export type PostgresVersion = '13' | '14' | '15' | '16' | '17' | '18';

/** Of io.zonky.test.postgres, by Maven. They hold no client programs. */
const RELEASES: Readonly<Record<PostgresVersion, string>> = {
  '13': '13.23.0',
  '14': '14.24.0',
  '15': '15.19.0',
  '16': '16.15.0',
  '17': '17.11.0',
  '18': '18.6.0',
};

/** A registry may be away for a moment. */
const TRIES = 3;
const DEBIAN = '/usr/lib/postgresql/15/bin';
const ARCHITECTURES: Readonly<Record<string, string>> = { x64: 'amd64', arm64: 'arm64v8' };

/** For what is fetched or made once for a machine. PostgreSQL, which does not run as root, must get there too. */
export function cacheFolder(): string {
  const base = process.geteuid?.() === 0 ? '/var/cache' : (process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'));
  const folder = join(base, 'tidemark-test-servers');
  mkdirSync(folder, { recursive: true });
  return folder;
}

/** What a test of that version is given as its options; see `needs`. */
export function needsPostgres(version: PostgresVersion = '15'): { readonly skip: string | false } {
  if (version === '15') return needs('postgres');
  return existsSync(placeOf(version)) ? { skip: false } : needs('mvn', 'unzip', 'xz', 'tar');
}

function placeOf(version: PostgresVersion): string {
  return join(cacheFolder(), `postgres-${RELEASES[version]}-${process.arch}`, 'bin');
}

/** The folder of `postgres` and `initdb` of that version: Debian's 15, the others from Maven Central, fetched when first asked for. */
export async function postgresBinaries(version: PostgresVersion): Promise<string> {
  if (version === '15' && existsSync(join(DEBIAN, 'postgres'))) return DEBIAN;
  const place = placeOf(version);
  if (existsSync(place)) return place;
  await withFileLock(join(cacheFolder(), 'fetch.lock'), async () => {
    for (let tries = 1; !existsSync(place); tries += 1) {
      await fetchRelease(version, join(place, '..')).catch((error: unknown) => {
        if (tries === TRIES) throw error;
      });
    }
  });
  return place;
}

async function fetchRelease(version: PostgresVersion, folder: string): Promise<void> {
  const scratch = mkdtempSync(join(cacheFolder(), 'fetch-'));
  try {
    const artifact = `io.zonky.test.postgres:embedded-postgres-binaries-linux-${ARCHITECTURES[process.arch] ?? process.arch}:${RELEASES[version]}`;
    const maven = findProgram('mvn') ?? 'mvn';
    const options = [`-Dartifact=${artifact}`, `-DoutputDirectory=${scratch}`];
    // Of its own: who runs tests need not have a home that can be written.
    const repository = `-Dmaven.repo.local=${join(cacheFolder(), 'maven')}`;
    await run(maven, ['-q', '-B', repository, 'dependency:copy', ...options], { cwd: scratch });
    await run('unzip', ['-q', '-o', '*.jar'], { cwd: scratch });
    const archive = readdirSync(scratch).find((name) => name.endsWith('.txz'));
    if (archive === undefined) throw new Error(`${artifact} holds no .txz`);
    const unpacked = join(scratch, 'unpacked');
    mkdirSync(unpacked, { mode: 0o755 });
    await run('tar', ['-xJf', archive, '-C', unpacked, '--no-same-owner'], { cwd: scratch });
    renameSync(unpacked, folder);
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}
