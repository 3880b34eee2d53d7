import { spawn } from 'node:child_process';
import type { ChildProcessByStdio } from 'node:child_process';
import type { Readable } from 'node:stream';
import { TidemarkError } from '../core/errors.ts';
import { must } from '../core/must.ts';
import { excerpt } from '../core/printable.ts';
import type { Clock, Run } from '../core/run.ts';

/** Variables by name. */
export type Environment = Readonly<Record<string, string | undefined>>;

export type ProgramOptions = {
  /** The program and its arguments. No shell sees them. */
  readonly command: readonly string[];
  /** All that the program's environment holds. */
  readonly environment: Environment;
  readonly timeoutMs: number;
  /** Of standard output. What a program says on standard error only shows, shortened, in the error when it fails. */
  readonly maxOutputBytes: number;
  readonly clock: Clock;
};

/**
 * Runs a program without input until it has ended and closed its output, and returns what it wrote to standard output. When
 * the run aborts, time is up or the output is too long, the program is killed and gone before this rejects.
 * @throws FAILED, naming the program, unless it ended with status 0 within its limits
 */
export async function runProgram(options: ProgramOptions, run: Run): Promise<Uint8Array> {
  const program = must(options.command[0], 'a program to run');
  run.signal.throwIfAborted();
  const child = start(program, options);
  const limits = new AbortController();
  const ended = new AbortController();
  const exceed = (what: string): void => limits.abort(new TidemarkError('FAILED', `${program} ${what}`));
  const output = collect(child.stdout, options.maxOutputBytes, () => exceed('wrote more than it may'));
  const complaint = collect(child.stderr, MAX_COMPLAINT_BYTES, () => undefined);
  const timer = options.clock.sleep(options.timeoutMs, { signal: ended.signal }).then(
    () => exceed(`did not end within ${options.timeoutMs / 1000} s`),
    () => undefined,
  );
  const signal = AbortSignal.any([run.signal, limits.signal]);
  try {
    const status = await untilEnded(child, program, signal);
    signal.throwIfAborted();
    if (status !== '0') throw new TidemarkError('FAILED', `${program} ended with ${status}${quote(complaint())}`);
    return output();
  } finally {
    ended.abort();
    await timer;
  }
}

type Child = ChildProcessByStdio<null, Readable, Readable>;

function cannotStart(program: string, cause: unknown): TidemarkError {
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new TidemarkError('FAILED', `${program} can’t be started: ${reason}`, { cause });
}

function start(program: string, { command, environment }: ProgramOptions): Child {
  try {
    return spawn(program, command.slice(1), { env: { ...environment }, stdio: ['ignore', 'pipe', 'pipe'] });
  } catch (error) {
    throw cannotStart(program, error);
  }
}

/** Resolves with the exit status or the name of the signal, once no more output can come. */
function untilEnded(child: Child, program: string, signal: AbortSignal): Promise<string> {
  return new Promise((resolve, reject) => {
    // Whoever the program has started may hold its output open: our ends are closed too, or the wait would not end.
    const kill = (): void => {
      child.kill('SIGKILL');
      child.stdout.destroy();
      child.stderr.destroy();
    };
    signal.addEventListener('abort', kill, { once: true });
    child.once('error', (error) => {
      signal.removeEventListener('abort', kill);
      reject(child.pid === undefined ? cannotStart(program, error) : error);
    });
    child.once('close', (status, endedBy) => {
      signal.removeEventListener('abort', kill);
      resolve(endedBy ?? String(status));
    });
  });
}

/** Keeps the first `maxBytes` of what is written; the rest is read and dropped, so that nobody waits for a full pipe. */
function collect(stream: Readable, maxBytes: number, onTooMuch: () => void): () => Uint8Array {
  const pieces: Buffer[] = [];
  let sizeBytes = 0;
  stream.on('data', (piece: Buffer) => {
    const kept = piece.subarray(0, maxBytes - sizeBytes);
    sizeBytes += kept.byteLength;
    if (kept.byteLength > 0) pieces.push(kept);
    if (kept.byteLength < piece.byteLength) onTooMuch();
  });
  return () => Buffer.concat(pieces, sizeBytes);
}

const MAX_COMPLAINT_BYTES = 4096;
const COMPLAINT_CHARACTERS = 200;

function quote(complaint: Uint8Array): string {
  const [line = ''] = Buffer.from(complaint).toString('utf8').trim().split('\n');
  return line === '' ? '' : `: ${excerpt(line, COMPLAINT_CHARACTERS)}`;
}
