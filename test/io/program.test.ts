import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TidemarkError } from '../../src/core/errors.ts';
import { createSystemClock } from '../../src/flow/clock.ts';
import { createVirtualClock } from '../../src/flow/virtual-clock.ts';
import { runProgram } from '../../src/io/program.ts';
import type { ProgramOptions } from '../../src/io/program.ts';

/** A program that Node runs: `script` is its text. */
function options(script: string, changes: Partial<ProgramOptions> = {}): ProgramOptions {
  return {
    command: [process.execPath, '-e', script],
    environment: { GIVEN: 'given' },
    timeoutMs: 60_000,
    maxOutputBytes: 1000,
    clock: createVirtualClock(0),
    ...changes,
  };
}

const reason = new Error('enough');

test('a program’s output is what it wrote, byte for byte', async (t) => {
  const output = await runProgram(
    options('process.stdout.write(Buffer.from([0, 255, 10])); console.error("noise")'),
    t,
  );
  assert.deepEqual([...output], [0, 255, 10]);
});

test('a program gets its arguments as they are, the given environment and no input', async (t) => {
  const script = `
    const { GIVEN, PATH } = process.env;
    const input = require('node:fs').readFileSync(0, 'utf8');
    console.log(JSON.stringify([process.argv.slice(1), GIVEN, PATH, input]));
  `;
  const command = [process.execPath, '-e', script, '--', '$HOME; *', ''];
  const output = await runProgram(options('', { command }), t);
  assert.deepEqual(JSON.parse(Buffer.from(output).toString()), [['$HOME; *', ''], 'given', null, '']);
});

test('a program that fails is an error with its status and the first line of its complaint', async (t) => {
  const script = 'console.error("no such \\u001b[31mentry\\nmore"); process.exit(3)';
  await assert.rejects(runProgram(options(script), t), (error) => {
    assert.ok(error instanceof TidemarkError);
    assert.equal(error.code, 'FAILED');
    assert.equal(error.message, `${process.execPath} ended with 3: no such \\x1b[31mentry`);
    return true;
  });
  const killed = options('process.kill(process.pid, "SIGTERM")');
  await assert.rejects(runProgram(killed, t), { message: `${process.execPath} ended with SIGTERM` });
});

test('a program that can’t be started is an error that names it', async (t) => {
  for (const program of ['/nonexistent/program', 'with\0zero']) {
    await assert.rejects(runProgram(options('', { command: [program] }), t), {
      code: 'FAILED',
      message: /can’t be started/,
    });
  }
});

test('a program that writes too much is killed', async (t) => {
  const endless = 'const write = () => process.stdout.write("x".repeat(10000), write); write();';
  await assert.rejects(runProgram(options(endless), t), { code: 'FAILED', message: /wrote more than it may/ });
  const output = await runProgram(options('process.stdout.write("x".repeat(1000))'), t);
  assert.equal(output.byteLength, 1000);
});

test('a program is killed when its time is up', async (t) => {
  const clock = createVirtualClock(0);
  const result = runProgram(options('setInterval(() => {}, 1000)', { clock }), t);
  await clock.advance(59_999);
  assert.equal(clock.sleeping, 1);
  await clock.advance(1);
  await assert.rejects(result, { code: 'FAILED', message: /did not end within 60 s/ });
});

test('an abort kills the program, and the reason is told', async () => {
  const controller = new AbortController();
  const result = runProgram(options('setInterval(() => {}, 1000)'), { signal: controller.signal });
  controller.abort(reason);
  await assert.rejects(result, reason);
  await assert.rejects(runProgram(options(''), { signal: controller.signal }), reason);
});

test('whoever holds the output open after the program has ended does not hold up its end by more than the time limit', async (t) => {
  const script = `
    const { spawn } = require('node:child_process');
    const child = spawn(process.execPath, ['-e', 'setInterval(() => process.stdout.write("x"), 50)'], { stdio: 'inherit', detached: true });
    console.log(child.pid);
    child.unref();
  `;
  const result = runProgram(options(script, { clock: createSystemClock(), timeoutMs: 300 }), t);
  await assert.rejects(result, { message: /did not end within 0.3 s/ });
});
