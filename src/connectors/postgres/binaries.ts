import { execFile } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';

const runFile = promisify(execFile);

/** Where the packages of the systems put the programs of a version. */
function knownFolders(majorVersion: number): readonly string[] {
  return [
    `/usr/lib/postgresql/${majorVersion}/bin`,
    `/usr/pgsql-${majorVersion}/bin`,
    `/usr/lib/postgresql${majorVersion}/bin`,
    `/opt/homebrew/opt/postgresql@${majorVersion}/bin`,
    '/usr/local/pgsql/bin',
    '/usr/local/bin',
    '/usr/bin',
  ];
}

/** The folder with the server's program of this version; undefined where this host has none. */
export async function findBinaries(majorVersion: number, named: string | undefined): Promise<string | undefined> {
  for (const folder of named === undefined ? knownFolders(majorVersion) : [named]) {
    const program = join(folder, 'postgres');
    if ((await majorVersionOf(program)) === majorVersion) return folder;
  }
  return undefined;
}

/** NaN for what is not there, or no program of PostgreSQL. */
async function majorVersionOf(program: string): Promise<number> {
  if (!isExecutable(program)) return NaN;
  const { stdout } = await runFile(program, ['--version'], { env: { PATH: '/usr/bin:/bin' } }).catch(() => ({
    stdout: '',
  }));
  return Number(/ ([0-9]+)[.a-z]/.exec(`${stdout}.`)?.[1]);
}

/** A `pg_dump` that takes out of a server of that version: of the folder, else of the same version, else of a later one. */
export async function findDumper(majorVersion: number, folder: string | undefined): Promise<string | undefined> {
  for (const program of clientPrograms('pg_dump', folder, majorVersion)) {
    if ((await majorVersionOf(program)) >= majorVersion) return program;
  }
  return undefined;
}

/**
 * A client's program: of the folder, else of the server's own version, whose words that server knows; else of any that this host has, where the
 * newest understands all servers.
 */
export function findClientProgram(name: string, folder: string | undefined, majorVersion?: number): string | undefined {
  return clientPrograms(name, folder, majorVersion).find(isExecutable);
}

function clientPrograms(name: string, folder: string | undefined, majorVersion?: number): readonly string[] {
  const versions = [...(majorVersion === undefined ? [] : [majorVersion]), 18, 17, 16, 15, 14, 13];
  const folders = [...(folder === undefined ? [] : [folder]), ...versions.flatMap(knownFolders)];
  return folders.map((found) => join(found, name));
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
