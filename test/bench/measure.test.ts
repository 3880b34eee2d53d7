import { strict as assert } from 'node:assert';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { measure } from '../../bench/harness/measure.ts';
import type { Command } from '../../bench/harness/measure.ts';

const noTime = existsSync('/usr/bin/time') ? false : 'GNU time is not installed';
const MIB = 1_048_576;

function scratchFolder(): Disposable & { readonly path: string } {
  const path = mkdtempSync(join(tmpdir(), 'tidemark-bench-test-'));
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true }) };
}

function nodeCommand(script: string, cwd: string): Command {
  return { argv: [process.execPath, '-e', script], cwd, env: {} };
}

test('measures the memory and processor time of the program and of what it starts', { skip: noTime }, async (t) => {
  using scratch = scratchFolder();
  const hungry = 'const held = Buffer.alloc(200 * 1048576, 1); for (let i = 0; i < 3e8; i += 1) held[0] = i;';
  const parent = `require('node:child_process').execFileSync(process.execPath, ['-e', ${JSON.stringify(hungry)}])`;
  const sample = await measure(nodeCommand(parent, scratch.path), { signal: t.signal, scratch: scratch.path });
  assert.ok(sample.peakRssBytes > 200 * MIB && sample.peakRssBytes < 600 * MIB, String(sample.peakRssBytes));
  assert.ok(sample.userMs > 0 && sample.wallMs > 0);
});

test('a program that fails is an error that shows what it printed', { skip: noTime }, async (t) => {
  using scratch = scratchFolder();
  const command = nodeCommand("console.error('no such key'); process.exit(6)", scratch.path);
  const options = { signal: t.signal, scratch: scratch.path };
  await assert.rejects(measure(command, options), /ended with 6\n[^]*no such key/);
  await measure({ ...command, expectedStatuses: [0, 6] }, options);
});

test('an abort kills the program and all that it started', { skip: noTime }, async () => {
  using scratch = scratchFolder();
  const abort = new AbortController();
  const endless = `
    const child = require('node:child_process').spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)']);
    require('node:fs').writeFileSync('pid', String(child.pid));
    setInterval(() => {}, 1000);`;
  const running = measure(nodeCommand(endless, scratch.path), { signal: abort.signal, scratch: scratch.path });
  const pid = await pidOf(join(scratch.path, 'pid'));
  abort.abort();
  await assert.rejects(running, { name: 'AbortError' });
  await ended(pid);
});

async function pidOf(path: string): Promise<number> {
  for (;;) {
    const text = existsSync(path) ? await readFile(path, 'utf8') : '';
    if (text !== '') return Number(text);
    await new Promise((resolve) => setImmediate(resolve));
  }
}

/** Comes to an end only when no such process runs; a zombie without a parent has ended. */
async function ended(pid: number): Promise<void> {
  for (;;) {
    const status = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
    if (status === '' || /\) [ZX] /.test(status)) return;
    await new Promise((resolve) => setImmediate(resolve));
  }
}
