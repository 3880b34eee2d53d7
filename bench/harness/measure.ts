import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { must } from '../../src/core/must.ts';
import { residentBytesBelow } from './process-tree.ts';

/** One program run to be measured. */
export interface Command {
  readonly argv: readonly string[];
  readonly cwd: string;
  /** All that the program finds in its environment, besides PATH and LANG. */
  readonly env: Readonly<Record<string, string>>;
  /** Exit statuses that count as success. Default: 0 only. */
  readonly expectedStatuses?: readonly number[] | undefined;
}

export interface Sample {
  readonly wallMs: number;
  /** Processor time in user mode of the program and all that it waited for. */
  readonly userMs: number;
  readonly systemMs: number;
  /** The larger of the largest process's peak and the highest sum over the process tree that was sampled. */
  readonly peakRssBytes: number;
}

export interface MeasureOptions {
  readonly signal: AbortSignal;
  /** A folder for what the program prints; outside of what is measured. */
  readonly scratch: string;
}

const GNU_TIME = '/usr/bin/time';
const SAMPLE_EVERY_MS = 50;
const SHOWN_ERROR_BYTES = 2_000;

/**
 * Runs `command` to its end under GNU time, which takes processor time and the largest process's peak from wait4, and
 * sums up the resident memory of the process tree meanwhile. When aborted it kills the process group and throws.
 * @throws Error when the program ends with another status than expected, with the end of what it printed.
 */
export async function measure(command: Command, options: MeasureOptions): Promise<Sample> {
  options.signal.throwIfAborted();
  const usagePath = join(options.scratch, 'usage.txt');
  const outputPath = join(options.scratch, 'output.txt');
  const output = openSync(outputPath, 'w');
  const startedAt = process.hrtime.bigint();
  const child = spawn(GNU_TIME, ['-o', usagePath, '-f', '%U %S %M', ...command.argv], {
    cwd: command.cwd,
    env: { PATH: process.env['PATH'], LANG: 'C.UTF-8', ...command.env },
    stdio: ['ignore', output, output],
    detached: true,
  });
  closeSync(output);
  const closed = once(child, 'exit');
  let peakRssBytes = 0;
  const sampler = setInterval(() => {
    if (child.pid !== undefined) peakRssBytes = Math.max(peakRssBytes, residentBytesBelow(child.pid));
  }, SAMPLE_EVERY_MS);
  const kill = (): void => {
    if (child.pid !== undefined && child.exitCode === null) process.kill(-child.pid, 'SIGKILL');
  };
  options.signal.addEventListener('abort', kill, { once: true });
  try {
    await closed;
    const wallMs = Number(process.hrtime.bigint() - startedAt) / 1e6;
    options.signal.throwIfAborted();
    const status = child.exitCode;
    if (status === null || !(command.expectedStatuses ?? [0]).includes(status)) {
      throw failure(command, status, outputPath);
    }
    const usage = parseUsage(readFileSync(usagePath, 'utf8'));
    return { ...usage, wallMs, peakRssBytes: Math.max(usage.peakRssBytes, peakRssBytes) };
  } finally {
    clearInterval(sampler);
    options.signal.removeEventListener('abort', kill);
  }
}

/** GNU time writes a line about a status other than 0 before the figures. */
export function parseUsage(text: string): Omit<Sample, 'wallMs'> {
  const [user, system, kib] = must(text.trim().split('\n').at(-1), 'a line of GNU time').split(' ').map(Number);
  return {
    userMs: must(user, 'user time') * 1_000,
    systemMs: must(system, 'system time') * 1_000,
    peakRssBytes: must(kib, 'peak memory') * 1_024,
  };
}

function failure(command: Command, status: number | null, outputPath: string): Error {
  const printed = readFileSync(outputPath, 'utf8').slice(-SHOWN_ERROR_BYTES);
  return new Error(`${command.argv.join(' ')}: ended with ${status ?? 'a signal'}\n${printed}`);
}
