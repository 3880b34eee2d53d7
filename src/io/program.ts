import { spawn } from 'node:child_process';
import type { ChildProcessByStdio } from 'node:child_process';
import type { Readable, Writable } from 'node:stream';
import { systemCode, TidemarkError } from '../core/errors.ts';
import { must } from '../core/must.ts';
import { excerpt } from '../core/printable.ts';
import type { Clock, Run } from '../core/run.ts';
import { afterReady, farProgram, ReadyWord } from './far-program.ts';
import { untilDrained } from './until-drained.ts';

/** Variables by name. */
export type Environment = Readonly<Record<string, string | undefined>>;

export type ProgramCall = {
  /** The program and its arguments. No shell takes them apart. */
  readonly command: readonly string[];
  /**
   * What starts it elsewhere, such as `[ssh, host]` or `[kubectl, exec, -i, pod/db, --]`: it must run what follows and pass standard input on.
   * What is killed is only this; the far program notices at its next read, which may look like the end of its input, or write.
   */
  readonly via?: readonly string[] | undefined;
  /** All that the environment of what is started on this machine holds. */
  readonly environment: Environment;
  /** Variables of the program itself, wherever it runs. They are in no argument list on the way. */
  readonly secrets?: Readonly<Record<string, string>> | undefined;
};

export type ProgramOptions = ProgramCall & {
  readonly timeoutMs: number;
  /** Of standard output. What a program says on standard error only shows, shortened, in the error when it fails. */
  readonly maxOutputBytes: number;
  readonly clock: Clock;
};

export type StreamOptions = ProgramCall & {
  /**
   * What it reads from standard input; nothing when absent. Pulled as fast as it is read, until the program has ended or has closed its
   * input: then `run` aborts. Should this throw, the program is killed and its output throws the same.
   */
  readonly input?: ((run: Run) => AsyncIterable<Uint8Array>) | undefined;
};

/**
 * Runs a program without input until it has ended and closed its output, and returns what it wrote to standard output. When
 * the run aborts, time is up or the output is too long, the program is killed and gone before this rejects.
 * @throws FAILED, naming the program, unless it ended with status 0 within its limits
 */
export async function runProgram(options: ProgramOptions, run: Run): Promise<Uint8Array> {
  const name = nameOf(options);
  const limits = new AbortController();
  const ended = new AbortController();
  const timer = options.clock.sleep(options.timeoutMs, { signal: ended.signal }).then(
    () => limits.abort(new TidemarkError('FAILED', `${name} did not end within ${options.timeoutMs / 1000} s`)),
    () => undefined,
  );
  const pieces: Uint8Array[] = [];
  let sizeBytes = 0;
  try {
    for await (const piece of streamProgram(options, { signal: AbortSignal.any([run.signal, limits.signal]) })) {
      sizeBytes += piece.byteLength;
      if (sizeBytes > options.maxOutputBytes) throw new TidemarkError('FAILED', `${name} wrote more than it may`);
      pieces.push(piece);
    }
    return Buffer.concat(pieces, sizeBytes);
  } finally {
    ended.abort();
    await timer;
  }
}

/**
 * Starts a program when it is first pulled, and yields what it writes to standard output as it is pulled: whoever does not pull makes it
 * wait. It ends only after the program has ended with status 0. Whoever stops early, or aborts the run, has it killed.
 * @throws FAILED, naming the program and what it complained of, unless it ended with status 0; what `input` throws
 */
export async function* streamProgram(options: StreamOptions, run: Run): AsyncGenerator<Uint8Array> {
  run.signal.throwIfAborted();
  const name = nameOf(options);
  const { child, opening } = start(name, options);
  const complaint = collect(child.stderr);
  const failed = new AbortController();
  const signal = AbortSignal.any([run.signal, failed.signal]);
  const kill = (): void => killAndClose(child);
  signal.addEventListener('abort', kill, { once: true });
  const ended = untilEnded(child, name);
  const closed = new AbortController();
  child.stdin.once('close', () => closed.abort());
  const ready = Promise.withResolvers<void>();
  const feeding = ready.promise
    .then(async () => await feed(child.stdin, options.input, { signal: closed.signal }))
    .catch((error: unknown) => failed.abort(error));
  // The whole of it fits into what a pipe holds, or waits there for the shell.
  if (opening) child.stdin.write(opening);
  else ready.resolve();
  try {
    const word = new ReadyWord();
    let isReady = opening === undefined;
    for await (const piece of child.stdout as AsyncIterable<Buffer>) {
      const own = isReady ? piece : word.take(piece);
      if (own === undefined) continue;
      isReady = true;
      ready.resolve();
      if (own.byteLength > 0) yield own;
    }
    const status = await ended;
    signal.throwIfAborted();
    if (status !== '0') throw new TidemarkError('FAILED', `${name} ended with ${status}${quote(complaint())}`);
    if (!isReady) throw new TidemarkError('FAILED', `${name} was not started: its prefix passes no input on`);
  } catch (error) {
    signal.throwIfAborted();
    // A program that could not be started has no output either, but says why.
    await ended;
    throw error;
  } finally {
    kill();
    signal.removeEventListener('abort', kill);
    await ended.catch(() => undefined);
    ready.resolve();
    await feeding;
  }
}

type Child = ChildProcessByStdio<Writable, Readable, Readable>;

/** As messages call it. */
function nameOf({ command, via = [] }: ProgramCall): string {
  const program = must(command[0], 'a program to run');
  return via[0] === undefined ? program : `${program} by ${via[0]}`;
}

function cannotStart(name: string, cause: unknown): TidemarkError {
  if (systemCode(cause) === 'ENOENT' && cause instanceof Error && 'path' in cause) {
    const message = `${name} can’t be started: ${String(cause.path)} is not found`;
    return new TidemarkError('FAILED', message, { cause, hint: 'Install it, or write its whole path.' });
  }
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new TidemarkError('FAILED', `${name} can’t be started: ${reason}`, { cause });
}

function start(name: string, options: ProgramCall): { readonly child: Child; readonly opening?: Uint8Array } {
  const { command, via = [], environment, secrets = {} } = options;
  const far = via.length > 0 ? farProgram(command, secrets) : undefined;
  const [program = '', ...args] = far ? [...via, ...far.arguments] : command;
  const env = far ? { ...environment } : { ...environment, ...secrets };
  try {
    const child = spawn(program, args, { env, stdio: ['pipe', 'pipe', 'pipe'] });
    // A program need not read what it is given.
    child.stdin.on('error', () => undefined);
    return { child, ...(far && { opening: far.opening }) };
  } catch (error) {
    throw cannotStart(name, error);
  }
}

/** Whoever the program has started may hold its output open: our ends are closed too, or the wait would not end. */
function killAndClose(child: Child): void {
  child.kill('SIGKILL');
  child.stdin.destroy();
  child.stdout.destroy();
  child.stderr.destroy();
}

/** Resolves with the exit status or the name of the signal, once no more output can come. */
function untilEnded(child: Child, name: string): Promise<string> {
  const ended = new Promise<string>((resolve, reject) => {
    child.once('error', (error) => reject(child.pid === undefined ? cannotStart(name, error) : error));
    child.once('close', (status, endedBy) => resolve(endedBy ?? String(status)));
  });
  // Who waits for it comes later.
  ended.catch(() => undefined);
  return ended;
}

/** Writes all of the input and closes it. Ends early when the program has closed its end. */
async function feed(stdin: Writable, input: StreamOptions['input'], run: Run): Promise<void> {
  try {
    if (input && !run.signal.aborted) {
      for await (const piece of input(run)) {
        if (run.signal.aborted) return;
        if (!stdin.write(piece)) await untilDrained(stdin, run);
      }
    }
  } catch (error) {
    // It was told to stop.
    if (!run.signal.aborted) throw error;
  }
  stdin.end();
}

const MAX_COMPLAINT_BYTES = 4096;
const COMPLAINT_CHARACTERS = 200;

/** Keeps the first of what is written; the rest is read and dropped, so that nobody waits for a full pipe. */
function collect(stream: Readable): () => Buffer {
  const pieces: Buffer[] = [];
  let sizeBytes = 0;
  stream.on('data', (piece: Buffer) => {
    const kept = piece.subarray(0, MAX_COMPLAINT_BYTES - sizeBytes);
    sizeBytes += kept.byteLength;
    if (kept.byteLength > 0) pieces.push(kept);
  });
  return () => Buffer.concat(pieces, sizeBytes);
}

function quote(complaint: Buffer): string {
  const lines = afterReady(complaint).toString('utf8').trim().split('\n');
  // What it only remarked before may stand first.
  const line = lines.find((told) => /\b(?:error|fatal):/i.test(told)) ?? lines[0] ?? '';
  return line === '' ? '' : `: ${excerpt(line, COMPLAINT_CHARACTERS)}`;
}
