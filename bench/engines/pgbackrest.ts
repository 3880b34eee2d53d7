import { execFileSync } from 'node:child_process';
import { chownSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { serverOwner } from '../../test/servers/postgres.ts';
import type { PostgresServer } from '../../test/servers/postgres.ts';
import { measure } from '../harness/measure.ts';
import type { Sample } from '../harness/measure.ts';

const STANZA = 'bench';

/** pgBackRest with a local repository: zst, two processes, encrypted, asynchronous archiving, nothing else changed. */
export class PgBackRest {
  /** Its repository is in it, and what it prints beside. */
  readonly folder: string;
  readonly #signal: AbortSignal;

  /** `folder`: made here, and owned by whom servers run as, who runs it too. */
  constructor(folder: string, signal: AbortSignal) {
    this.folder = folder;
    this.#signal = signal;
    const owner = serverOwner();
    for (const name of ['', 'repository', 'log', 'lock', 'spool']) {
      mkdirSync(join(folder, name));
      if (owner) chownSync(join(folder, name), owner.uid, owner.gid);
    }
  }

  get repository(): string {
    return join(this.folder, 'repository');
  }

  /** What a server needs in its settings from its start. */
  get settings(): Readonly<Record<string, string>> {
    return {
      archive_mode: 'on',
      archive_command: `pgbackrest --config=${this.#configuration} --stanza=${STANZA} archive-push %p`,
    };
  }

  /** Writes its configuration and makes its repository. The server must run. */
  async prepare(server: PostgresServer): Promise<void> {
    const path = (name: string): string => join(this.folder, name);
    const lines = [
      '[global]',
      `repo1-path=${this.repository}`,
      'repo1-cipher-type=aes-256-cbc',
      'repo1-cipher-pass=a passphrase for the bench',
      'repo1-retention-full=1',
      'expire-auto=n',
      'compress-type=zst',
      'process-max=2',
      'start-fast=y',
      'archive-async=y',
      `log-path=${path('log')}`,
      `lock-path=${path('lock')}`,
      `spool-path=${path('spool')}`,
      'log-level-console=warn',
      'log-level-file=off',
      `[${STANZA}]`,
      `pg1-path=${server.folder}`,
      `pg1-socket-path=${server.socketFolder}`,
      `pg1-port=${server.port}`,
      'pg1-user=postgres',
    ];
    writeFileSync(this.#configuration, `${lines.join('\n')}\n`);
    await this.run('stanza-create');
  }

  async run(...args: readonly string[]): Promise<Sample> {
    const program = ['pgbackrest', `--config=${this.#configuration}`, `--stanza=${STANZA}`, ...args];
    const command = { argv: asServer(program), cwd: '/', env: {} };
    return await measure(command, { signal: this.#signal, scratch: this.folder });
  }

  get #configuration(): string {
    return join(this.folder, 'pgbackrest.conf');
  }
}

/** What a program is called with to be run by whom servers run as. */
export function asServer(program: readonly string[]): readonly string[] {
  const owner = serverOwner();
  if (owner === undefined) return program;
  return ['setpriv', `--reuid=${owner.uid}`, `--regid=${owner.gid}`, '--clear-groups', ...program];
}

/** The length of all files below a folder. */
export function sizeOf(folder: string): number {
  const text = execFileSync('du', ['-s', '--apparent-size', '--block-size=1', folder], { encoding: 'utf8' });
  return Number(text.split('\t')[0]);
}
