/**
 * Builds the package: modules with their types for programs, by the compiler, and the command line in a few large files. One command needs about 300
 * modules of ours; to find, read and link each of them took longer than to run most commands.
 */
import { build } from 'esbuild';
import { spawnSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';

const root = join(import.meta.dirname, '..');
const dist = join(root, 'dist');
const cli = join(dist, 'cli');

function compile(): void {
  const child = spawnSync('tsc', ['-p', join(root, 'tsconfig.build.json')], { cwd: root, stdio: 'inherit' });
  if (child.error) throw child.error;
  if (child.status !== 0) process.exit(child.status ?? 1);
}

/** All lie in one folder, as whatever is found beside a module (`import.meta.url`) is then found beside each part. */
async function bundle(): Promise<void> {
  await build({
    absWorkingDir: root,
    // Threads start from files of their own.
    entryPoints: ['src/cli/main.ts', 'src/repository/pipeline/worker.ts', 'src/demo/shop-worker.ts'],
    entryNames: '[name]',
    chunkNames: 'part-[hash]',
    outdir: cli,
    bundle: true,
    splitting: true,
    format: 'esm',
    platform: 'node',
    target: 'node24',
    // Dependencies stay packages, so that a fix of one is an update of it.
    packages: 'external',
    logLevel: 'warning',
  });
}

rmSync(dist, { recursive: true, force: true });
compile();
rmSync(cli, { recursive: true, force: true });
await bundle();
