import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { chmodSync, chownSync, closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { must } from '../../src/core/must.ts';

/** Who a program runs as; undefined is whoever runs the test. */
export type Owner = { readonly uid: number; readonly gid: number };

let guardianInput: NodeJS.WritableStream | undefined;

/** Tells the guardian, a process that outlives this one and then ends and removes what is left. */
function tellGuardian(line: string): void {
  if (!guardianInput) {
    const guardian = spawn('bash', [join(import.meta.dirname, 'guardian.sh')], {
      stdio: ['pipe', 'ignore', 'ignore'],
      detached: true,
      cwd: '/',
    });
    guardian.unref();
    // At run time the pipe is a socket, which may keep the process alive.
    (guardian.stdin as unknown as { unref(): void }).unref();
    guardianInput = guardian.stdin;
  }
  guardianInput.write(`${line}\n`);
}

/** A fresh folder in the temporary folder. It is gone at the latest when this process is. */
export class GuardedFolder implements Disposable {
  readonly path: string;

  constructor(name: string, owner?: Owner) {
    this.path = mkdtempSync(join(tmpdir(), `tidemark-${name}-`));
    tellGuardian(`folder ${this.path}`);
    if (owner) chownSync(this.path, owner.uid, owner.gid);
    // A server that runs as somebody else must get through.
    chmodSync(this.path, 0o711);
  }

  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 });
    tellGuardian(`removed ${this.path}`);
  }
}

export type GuardedOptions = {
  readonly command: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  readonly folder: string;
  /** Where its output goes, at the end of what is there. */
  readonly logFile: string;
  readonly owner?: Owner | undefined;
};

/** A server's process. It ends at the latest when this process does, however that ends. */
export class GuardedProcess {
  readonly pid: number;
  readonly #child: ChildProcess;
  readonly #logFile: string;
  readonly #ended: Promise<void>;

  constructor({ command, environment, folder, logFile, owner }: GuardedOptions) {
    const [program = '', ...args] = command;
    const log = openSync(logFile, 'a');
    const child = spawn(program, args, {
      cwd: folder,
      env: { PATH: process.env['PATH'], LC_ALL: 'C', ...environment },
      stdio: ['ignore', log, log],
      ...owner,
    });
    closeSync(log);
    this.#child = child;
    this.#logFile = logFile;
    this.#ended = new Promise((resolve, reject) => {
      child.once('error', reject);
      child.once('exit', () => resolve());
    });
    this.#ended.catch(() => undefined);
    this.pid = must(child.pid, `${program} to start`);
    tellGuardian(`started ${this.pid}`);
    void this.#ended.then(() => tellGuardian(`ended ${this.pid}`));
    child.unref();
  }

  get isRunning(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** The end of its log, for messages. */
  log(): string {
    return readFileSync(this.#logFile, 'utf8').slice(-4000);
  }

  signal(name: NodeJS.Signals): void {
    if (this.isRunning) this.#child.kill(name);
  }

  /** Resolves when it has ended by itself. */
  async ended(): Promise<void> {
    this.#child.ref();
    await this.#ended;
    this.#child.unref();
  }

  /** Asks it to end; what does not within 20 s is killed. */
  async stop(name: NodeJS.Signals): Promise<void> {
    if (!this.isRunning) return;
    const stopped = new AbortController();
    this.signal(name);
    this.signal('SIGCONT');
    const late = sleep(20_000, undefined, { signal: stopped.signal }).then(
      () => this.kill(),
      () => undefined,
    );
    await this.ended();
    stopped.abort();
    await late;
  }

  /** Ends it and all that it has started, at once and without asking. */
  async kill(): Promise<void> {
    const all = this.#everyPid();
    for (const pid of all) sendSignal(pid, 'SIGKILL');
    await this.ended();
    await waitUntil('killed processes are gone', () => all.every((pid) => stateOf(pid) === 'gone'));
  }

  /** Stops it and all that it has started, in the midst of whatever they do. */
  async pause(): Promise<void> {
    const all = this.#everyPid();
    for (const pid of all) sendSignal(pid, 'SIGSTOP');
    await waitUntil('processes stand still', () => all.every((pid) => stateOf(pid) !== 'running'));
  }

  async resume(): Promise<void> {
    const all = this.#everyPid();
    for (const pid of all) sendSignal(pid, 'SIGCONT');
    await waitUntil('processes go on', () => all.every((pid) => stateOf(pid) !== 'stopped'));
  }

  #everyPid(): readonly number[] {
    return this.isRunning ? withDescendants(this.pid) : [];
  }
}

function sendSignal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch {
    // It has ended meanwhile.
  }
}

function stateOf(pid: number): 'running' | 'stopped' | 'gone' {
  try {
    const [state = ''] = readFileSync(`/proc/${pid}/stat`, 'utf8').replace(/^.*\) /s, '');
    if (state === 'Z' || state === 'X') return 'gone';
    return state === 'T' || state === 't' ? 'stopped' : 'running';
  } catch {
    return 'gone';
  }
}

function withDescendants(pid: number): readonly number[] {
  let children = '';
  try {
    children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8');
  } catch {
    return [];
  }
  const ids = children.split(' ').filter((id) => id.trim() !== '');
  return [pid, ...ids.flatMap((id) => withDescendants(Number(id)))];
}

/** Asks again and again until it holds, for up to `limitMs`. An `isSo` that throws does not hold yet. */
export async function waitUntil(what: string, isSo: () => boolean | Promise<boolean>, limitMs = 60_000): Promise<void> {
  const endMs = performance.now() + limitMs;
  let cause: unknown;
  for (let pauseMs = 2; ; pauseMs = Math.min(pauseMs * 2, 50)) {
    try {
      if (await isSo()) return;
    } catch (error) {
      cause = error;
    }
    if (performance.now() > endMs) throw new Error(`not within ${limitMs / 1000} s: ${what}`, { cause });
    await sleep(pauseMs);
  }
}
