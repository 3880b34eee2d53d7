import { spawn, spawnSync } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { askAgent } from '../../src/agent/socket-client.ts';
import type { LiveStatus } from '../../src/app/results.ts';
import { must } from '../../src/core/must.ts';
import type { Run } from '../../src/core/run.ts';
import { measure } from '../harness/measure.ts';
import type { Sample } from '../harness/measure.ts';
import { stateFolderIn } from '../harness/state-folder.ts';

const CLI = join(import.meta.dirname, '../../dist/cli/main.js');
const TICKS_A_SECOND = 100;
const PASSPHRASE = 'a bench needs no secret';

/** An application in a folder of its own, and the compiled `tidemark up` on it. */
export class UpProcess implements AsyncDisposable {
  readonly folder: string;
  readonly #run: Run;
  #child: ChildProcess | undefined;

  constructor(folder: string, stores: Readonly<Record<string, string>>, run: Run) {
    this.folder = folder;
    this.#run = run;
    mkdirSync(join(folder, 'state'), { recursive: true });
    const lines = Object.entries(stores).map(([name, url]) => `  ${name}: ${url}\n`);
    writeFileSync(
      join(folder, 'tidemark.yaml'),
      `application: bench\nrepository: ./backups\nstores:\n${lines.join('')}`,
    );
    const made = spawnSync(process.execPath, [CLI, 'init'], { cwd: folder, env: this.#environment, encoding: 'utf8' });
    if (made.status !== 0) throw new Error(made.stderr);
  }

  get repository(): string {
    return join(this.folder, 'backups');
  }

  get passphrase(): string {
    return PASSPHRASE;
  }

  get stateFolder(): string {
    return stateFolderIn(join(this.folder, 'state'));
  }

  /** Another command on the same application, run to its end. */
  async command(...args: readonly string[]): Promise<Sample> {
    const { TIDEMARK_PASSPHRASE = '', XDG_STATE_HOME = '', NODE_OPTIONS } = this.#environment;
    const env = { HOME: this.folder, TIDEMARK_PASSPHRASE, XDG_STATE_HOME, ...(NODE_OPTIONS && { NODE_OPTIONS }) };
    const command = { argv: [process.execPath, CLI, '--quiet', ...args], cwd: this.folder, env };
    return await measure(command, { signal: this.#run.signal, scratch: this.folder });
  }

  /** Resolves once every store is recorded: then each has its first base. */
  async start(): Promise<void> {
    const child = spawn(process.execPath, [CLI, 'up'], { cwd: this.folder, env: this.#environment, stdio: 'ignore' });
    this.#child = child;
    for (;;) {
      this.#run.signal.throwIfAborted();
      if (child.exitCode !== null) throw new Error(`up ended with ${child.exitCode}`);
      const status = await this.status();
      if (status?.stores.every(({ state }) => state === 'recording') === true) return;
      await sleep(50);
    }
  }

  async stop(): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (child === undefined || child.exitCode !== null) return;
    child.kill('SIGINT');
    await once(child, 'exit');
  }

  async status(): Promise<LiveStatus | undefined> {
    const answer = await askAgent(this.stateFolder, { command: 'status' }, { onNews: () => undefined }, this.#run);
    return answer as unknown as LiveStatus | undefined; // what this version's `up` answers
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  /** Processor time in seconds so far, and resident memory in bytes, now and at its peak. */
  usage(): { readonly cpuSeconds: number; readonly residentBytes: number; readonly peakBytes: number } {
    const pid = must(this.#child?.pid, 'a process that runs');
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
    const status = readFileSync(`/proc/${pid}/status`, 'utf8');
    const bytesOf = (name: string): number => Number(new RegExp(`${name}:\\s+(\\d+)`).exec(status)?.[1]) * 1024;
    return {
      cpuSeconds: (Number(fields[11]) + Number(fields[12])) / TICKS_A_SECOND,
      residentBytes: bytesOf('VmRSS'),
      peakBytes: bytesOf('VmHWM'),
    };
  }

  get #environment(): NodeJS.ProcessEnv {
    const profiled = process.env['BENCH_NODE_OPTIONS'];
    return {
      ...process.env,
      ...(profiled !== undefined && { NODE_OPTIONS: profiled }),
      XDG_STATE_HOME: join(this.folder, 'state'),
      TIDEMARK_PASSPHRASE: PASSPHRASE,
    };
  }
}

/** Runs the writer to its end; what it printed. */
export async function write(args: readonly string[]): Promise<string> {
  const child = spawn(process.execPath, [join(import.meta.dirname, 'writer.ts'), ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let text = '';
  child.stdout.setEncoding('utf8').on('data', (piece: string) => (text += piece));
  await once(child, 'close');
  if (child.exitCode !== 0) throw new Error(`the writer ended with ${child.exitCode}`);
  return text;
}
