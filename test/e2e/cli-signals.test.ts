import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const main = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));

/** Ends a command by a signal while it waits for the program that is to tell the passphrase. */
async function endedBy(
  signal: NodeJS.Signals,
): Promise<{ readonly status: unknown; readonly out: string; readonly err: string }> {
  const folder = mkdtempSync(join(tmpdir(), 'tidemark-signal-'));
  try {
    assert.equal(spawnSync('mkfifo', [join(folder, 'ready')]).status, 0);
    const ask = "passphraseCommand: [sh, -c, 'echo ready > ready; exec sleep 60']";
    const manifest = `application: a\nrepository: { url: ./r, ${ask} }\nstores:\n  s: files:./s\n`;
    writeFileSync(join(folder, 'tidemark.yaml'), manifest);
    const child = spawn(process.execPath, [main, 'init', '--json'], { cwd: folder, stdio: ['ignore', 'pipe', 'pipe'] });
    const text = { out: '', err: '' };
    child.stdout.on('data', (chunk: Buffer) => {
      text.out += chunk.toString();
    });
    child.stderr.on('data', (chunk: Buffer) => {
      text.err += chunk.toString();
    });
    const closed = once(child, 'close');
    await readFile(join(folder, 'ready'));
    child.kill(signal);
    const [status] = (await closed) as unknown[];
    return { status, ...text };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

test('a command that is interrupted says so and ends with 130, one that is terminated with 143', {
  timeout: 60_000,
}, async () => {
  for (const [signal, expected, word] of [
    ['SIGINT', 130, 'interrupted'],
    ['SIGTERM', 143, 'terminated'],
  ] as const) {
    const { status, out, err } = await endedBy(signal);
    assert.equal(status, expected, err);
    assert.match(
      err,
      new RegExp(`^stopping; the same again stops at once\\nerror: ${word}; what was committed stays\\n`),
    );
    assert.match(out, /^\{"type":"error","code":"INTERRUPTED".*\}\n$/);
  }
});
