import { spawn } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { Certificates, KeyPair } from './certificates.ts';
import { freePort } from './free-port.ts';
import { GuardedFolder, GuardedProcess, waitUntil } from './guarded.ts';

export type RedisOptions = {
  /** Options of the command line, such as `['--appendonly', 'yes']`: after ours, so they win. */
  readonly args?: readonly string[];
  /** Its data folder, which is kept; a fresh one, which is removed, when not given. */
  readonly folder?: string;
  readonly port?: number;
  /** TLS only. `server` is shown instead of the right certificate; `clients` demands one of each client. */
  readonly tls?: {
    readonly certificates: Certificates;
    readonly server?: KeyPair;
    readonly clients?: boolean;
  };
  /** Of the default user. */
  readonly password?: string;
  /** One more user, such as `{name: 'backup', password: 'x', rules: '+psync +replconf +ping'}`. */
  readonly users?: readonly { readonly name: string; readonly password: string; readonly rules: string }[];
  /** How a replica is given the RDB: over the socket as it is made (the default), or from a file. */
  readonly transfer?: 'diskless' | 'disk';
  /** Made a replica of this one, and synchronised when the promise resolves. */
  readonly replicaOf?: RedisServer | undefined;
  /** `redis-server`, `redis-sentinel`, or the path of another server of the kind. */
  readonly program?: string;
  /** More lines of its configuration file, which the server may rewrite. */
  readonly lines?: readonly string[];
};

/** A real Redis on 127.0.0.1. It saves nothing by itself. */
export class RedisServer implements AsyncDisposable {
  readonly port: number;
  readonly folder: string;
  readonly url: string;
  readonly password: string | undefined;
  readonly #command: readonly string[];
  readonly #owned: GuardedFolder | undefined;
  readonly #clientArgs: readonly string[];
  #process: GuardedProcess | undefined;

  constructor(options: RedisOptions & { readonly port: number }, owned?: GuardedFolder) {
    const { port, tls, password } = options;
    this.port = port;
    this.#owned = owned;
    this.folder = options.folder ?? owned?.path ?? '';
    this.password = password;
    this.url = `${tls ? 'rediss' : 'redis'}://127.0.0.1:${port}`;
    const configuration = join(this.folder, 'server.conf');
    mkdirSync(this.folder, { recursive: true });
    writeFileSync(configuration, configurationOf(this.folder, options));
    this.#command = [options.program ?? 'redis-server', configuration, ...(options.args ?? [])];
    this.#clientArgs = tls ? clientArguments(tls) : [];
  }

  get pid(): number | undefined {
    return this.#process?.pid;
  }

  get isRunning(): boolean {
    return this.#process?.isRunning ?? false;
  }

  /** The end of its log. */
  log(): string {
    return this.#process?.log() ?? '';
  }

  /** Starts it in its folder and port. Resolves when it answers and has loaded its data. */
  async start(): Promise<void> {
    const started = new GuardedProcess({
      command: this.#command,
      folder: this.folder,
      logFile: join(this.folder, 'server.log'),
    });
    this.#process = started;
    await waitUntil('redis answers', async () => {
      if (!started.isRunning) return true;
      return (await this.call('ping')) === 'PONG';
    });
    if (!started.isRunning) throw new Error(`redis ended at once: ${started.log()}`);
  }

  /** One command by `redis-cli`; what it answers as raw text, without the last line's end. @throws Error on an error reply */
  async call(...args: readonly string[]): Promise<string> {
    return await this.#client(['-e', ...args], []);
  }

  /** Commands of one line each in the syntax of `redis-cli`, over one connection; their answers, one after the other. */
  async script(lines: readonly string[]): Promise<string> {
    return await this.#client([], [`${lines.join('\n')}\n`]);
  }

  /** Commands in the protocol's own form by `redis-cli --pipe`, which is fast and carries any bytes; they are pulled as they are taken. */
  async pipe(commands: Iterable<readonly (string | Uint8Array)[]>): Promise<void> {
    const answer = await this.#client(['--pipe'], encodeCommands(commands));
    if (!answer.includes('errors: 0')) throw new Error(answer);
  }

  /** A section of INFO by field. */
  async info(section: string): Promise<Readonly<Record<string, string>>> {
    const lines = (await this.call('info', section)).split(/\r?\n/).filter((line) => line.includes(':'));
    return Object.fromEntries(
      lines.map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1)]),
    );
  }

  /** At once and without asking; with another signal it is waited for as well. */
  async kill(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    if (signal === 'SIGKILL') await this.#process?.kill();
    else await this.#process?.stop(signal);
  }

  async pause(): Promise<void> {
    await this.#process?.pause();
  }

  async resume(): Promise<void> {
    await this.#process?.resume();
  }

  /** Stops it in good order, unless it has ended, and starts it on the same port and folder. */
  async restart(): Promise<void> {
    await this.kill('SIGTERM');
    await this.start();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#process?.kill();
    this.#owned?.[Symbol.dispose]();
  }

  /** `redis-cli --cluster` with this subcommand, as far as this node is what it needs to know. */
  async cluster(...args: readonly string[]): Promise<string> {
    return await this.#run([...this.#clientArgs, '--cluster', ...args], []);
  }

  async #client(args: readonly string[], input: Iterable<string | Uint8Array>): Promise<string> {
    return await this.#run(['-h', '127.0.0.1', '-p', String(this.port), ...this.#clientArgs, ...args], input);
  }

  async #run(command: readonly string[], input: Iterable<string | Uint8Array>): Promise<string> {
    const login = this.password === undefined ? {} : { REDISCLI_AUTH: this.password };
    const child = spawn('redis-cli', command, { env: { ...process.env, ...login }, stdio: 'pipe' });
    const output: Buffer[] = [];
    child.stdout.on('data', (piece: Buffer) => output.push(piece));
    child.stderr.on('data', (piece: Buffer) => output.push(piece));
    const ended = new Promise((resolve, reject) => {
      child.once('error', reject);
      child.once('close', resolve);
    });
    // It may have ended before it read all.
    await pipeline(Readable.from(input), child.stdin).catch(() => undefined);
    const status = await ended;
    const text = Buffer.concat(output).toString().replace(/\n$/, '');
    if (status !== 0) throw new Error(`redis-cli ${command.join(' ').slice(0, 200)}: ${text}`);
    return text;
  }
}

const ENCODED_BYTES = 256 * 1024;

/** As a client sends them, in pieces of many. */
export function* encodeCommands(commands: Iterable<readonly (string | Uint8Array)[]>): Generator<Uint8Array> {
  let parts: (string | Uint8Array)[] = [];
  let sizeBytes = 0;
  for (const command of commands) {
    parts.push(`*${command.length}\r\n`);
    for (const word of command) {
      const length = Buffer.byteLength(word);
      parts.push(`$${length}\r\n`, word, '\r\n');
      sizeBytes += length + 10;
    }
    if (sizeBytes < ENCODED_BYTES) continue;
    yield joined(parts);
    [parts, sizeBytes] = [[], 0];
  }
  if (parts.length > 0) yield joined(parts);
}

function joined(parts: readonly (string | Uint8Array)[]): Uint8Array {
  const lengths = parts.map((part) => Buffer.byteLength(part));
  const bytes = Buffer.allocUnsafe(lengths.reduce((sum, length) => sum + length, 0));
  let offset = 0;
  for (const [index, part] of parts.entries()) {
    if (typeof part === 'string') bytes.write(part, offset);
    else bytes.set(part, offset);
    offset += lengths[index] ?? 0;
  }
  return bytes;
}

function clientArguments({ certificates, server }: NonNullable<RedisOptions['tls']>): readonly string[] {
  // A server that shows a wrong certificate must be spoken to as well.
  const trust = server ? ['--insecure'] : ['--cacert', certificates.ca];
  return ['--tls', ...trust, '--cert', certificates.client.cert, '--key', certificates.client.key];
}

function configurationOf(folder: string, options: RedisOptions & { readonly port: number }): string {
  const { port, tls, password, users = [], transfer = 'diskless', replicaOf } = options;
  const lines = [`dir "${folder}"`, 'bind 127.0.0.1', tls ? 'port 0' : `port ${port}`];
  if (options.program !== 'redis-sentinel') {
    lines.push('save ""', 'enable-debug-command yes', `repl-diskless-sync ${transfer === 'disk' ? 'no' : 'yes'}`);
    lines.push('repl-diskless-sync-delay 0');
  }
  if (tls) {
    const { cert, key } = tls.server ?? tls.certificates;
    lines.push(`tls-port ${port}`, `tls-cert-file ${cert}`, `tls-key-file ${key}`, 'tls-replication yes');
    lines.push(`tls-ca-cert-file ${tls.certificates.ca}`, `tls-auth-clients ${tls.clients === true ? 'yes' : 'no'}`);
  }
  if (password !== undefined) lines.push(`requirepass "${password}"`, `masterauth "${password}"`);
  for (const user of users) lines.push(`user ${user.name} on >${user.password} ${user.rules}`);
  if (replicaOf) lines.push(`replicaof 127.0.0.1 ${replicaOf.port}`);
  if (replicaOf?.password !== undefined && password === undefined) lines.push(`masterauth "${replicaOf.password}"`);
  return [...lines, ...(options.lines ?? []), ''].join('\n');
}

/** Starts one. It ends when it is disposed, and at the latest with this process. */
export async function startRedis(options: RedisOptions = {}): Promise<RedisServer> {
  const port = options.port ?? (await freePort());
  const owned = options.folder === undefined ? new GuardedFolder('redis') : undefined;
  const server = new RedisServer({ ...options, port }, owned);
  try {
    await server.start();
    if (options.replicaOf) await untilSynchronised(server);
  } catch (error) {
    await server[Symbol.asyncDispose]();
    throw error;
  }
  return server;
}

/** Resolves when the link to its master is up and it has all that the master had. */
export async function untilSynchronised(replica: RedisServer): Promise<void> {
  await waitUntil('the replica is synchronised', async () => {
    const { master_link_status, master_sync_in_progress } = await replica.info('replication');
    return master_link_status === 'up' && master_sync_in_progress === '0';
  });
}

/** Makes a replica a master by hand. What it had from its former one stays. */
export async function promote(replica: RedisServer): Promise<void> {
  await replica.call('replicaof', 'no', 'one');
  await waitUntil('the replica is a master', async () => (await replica.info('replication'))['role'] === 'master');
}
