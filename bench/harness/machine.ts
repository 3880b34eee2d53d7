import { execFileSync } from 'node:child_process';
import { closeSync, fsyncSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import { availableParallelism, cpus, release, tmpdir, totalmem, type } from 'node:os';
import { join } from 'node:path';
import { quantileOf } from './statistics.ts';

/** What figures depend on; nothing that names this machine or its folders. */
export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryBytes: number;
  readonly system: string;
  readonly node: string;
  /** 99th percentile of 4 KiB written and fsynced, on the disk of the temporary folder. */
  readonly diskFsyncP99Ms: number;
  /** The commit that was measured, with `+` when there were changes on top. */
  readonly commit: string;
  readonly at: string;
}

const FSYNCS = 300;

export function describeMachine(): Machine {
  return {
    cpu: cpus()[0]?.model ?? 'unknown',
    cores: availableParallelism(),
    memoryBytes: totalmem(),
    system: `${type()} ${release()}`,
    node: process.version,
    diskFsyncP99Ms: fsyncP99Ms(),
    commit: commitNow(),
    at: new Date().toISOString(),
  };
}

/** Of 4 KiB, written and fsynced in the temporary folder. */
export function fsyncP99Ms(): number {
  const folder = mkdtempSync(join(tmpdir(), 'tidemark-bench-'));
  try {
    const file = openSync(join(folder, 'probe'), 'w');
    const block = Buffer.alloc(4_096, 1);
    const tookMs = Array.from({ length: FSYNCS }, () => {
      const startedAt = performance.now();
      writeSync(file, block);
      fsyncSync(file);
      return performance.now() - startedAt;
    });
    closeSync(file);
    return quantileOf(tookMs, 0.99);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function commitNow(): string {
  const git = (...args: string[]): string =>
    execFileSync('git', args, {
      cwd: import.meta.dirname,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    }).trim();
  try {
    return git('rev-parse', '--short', 'HEAD') + (git('status', '--porcelain', '--', '../../src') === '' ? '' : '+');
  } catch {
    return 'unknown';
  }
}
