import { execFile } from 'node:child_process';
import { connect } from 'node:net';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { freePort } from './free-port.ts';
import { GuardedFolder, GuardedProcess, waitUntil } from './guarded.ts';
import { findProgram } from './needs.ts';

const run = promisify(execFile);

/** A real sshd on 127.0.0.1 for whoever runs the test, with keys of its own. */
export type SshServer = AsyncDisposable & {
  readonly port: number;
  /** What a program is started with to run there, as the `via` of a store. */
  readonly via: readonly string[];
};

export async function startSshd(): Promise<SshServer> {
  const folder = new GuardedFolder('ssh');
  const at = (name: string): string => join(folder.path, name);
  const port = await freePort();
  for (const name of ['host-key', 'user-key']) {
    await run('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', at(name)]);
  }
  // Debian makes it when the service starts.
  if (process.geteuid?.() === 0 && !existsSync('/run/sshd')) mkdirSync('/run/sshd', { mode: 0o755 });
  const server = {
    Port: port,
    ListenAddress: '127.0.0.1',
    HostKey: at('host-key'),
    AuthorizedKeysFile: at('user-key.pub'),
    PidFile: 'none',
    StrictModes: 'no',
    UsePAM: 'no',
    PermitRootLogin: 'yes',
    PasswordAuthentication: 'no',
  };
  const [kind, hostKey] = readFileSync(at('host-key.pub'), 'utf8').split(' ');
  writeFileSync(at('known-hosts'), `[127.0.0.1]:${port} ${kind} ${hostKey}\n`);
  const client = {
    HostName: '127.0.0.1',
    Port: port,
    User: userInfo().username,
    IdentityFile: at('user-key'),
    IdentitiesOnly: 'yes',
    UserKnownHostsFile: at('known-hosts'),
    StrictHostKeyChecking: 'yes',
    BatchMode: 'yes',
    LogLevel: 'ERROR',
  };
  const text = (settings: object): string =>
    Object.entries(settings)
      .map(([name, value]) => `${name} ${value}\n`)
      .join('');
  writeFileSync(at('server.conf'), text(server));
  writeFileSync(at('client.conf'), `Host far\n${text(client)}`);
  // It refuses to start by a relative name.
  const command = [findProgram('sshd') ?? '/usr/sbin/sshd', '-D', '-e', '-f', at('server.conf')];
  const running = new GuardedProcess({ command, folder: folder.path, logFile: at('server.log') });
  const dispose = async (): Promise<void> => {
    await running.kill();
    folder[Symbol.dispose]();
  };
  try {
    await waitUntil('sshd listens', async () => !running.isRunning || (await listens(port)));
    if (!running.isRunning) throw new Error(`sshd ended at once: ${running.log()}`);
  } catch (error) {
    await dispose();
    throw error;
  }
  return { port, via: ['ssh', '-F', at('client.conf'), 'far'], [Symbol.asyncDispose]: dispose };
}

async function listens(port: number): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const socket = connect({ port, host: '127.0.0.1' });
  socket.once('connect', () => resolve(true));
  socket.once('error', () => resolve(false));
  const answer = await promise;
  socket.destroy();
  return answer;
}
