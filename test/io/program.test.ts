import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TidemarkError } from '../../src/core/errors.ts';
import { createSystemClock } from '../../src/flow/clock.ts';
import { createVirtualClock } from '../../src/flow/virtual-clock.ts';
import { runProgram, streamProgram } from '../../src/io/program.ts';
import type { ProgramOptions, StreamOptions } from '../../src/io/program.ts';

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

test('a program whose output nobody pulls waits, and so does who gives it input', async (t) => {
  let given = 0;
  async function* input(): AsyncGenerator<Uint8Array> {
    for (; given < 1000; given += 1) yield new Uint8Array(100_000);
  }
  const output = streamProgram({ ...options('', { command: ['cat'] }), input }, t);
  assert.equal((await output.next()).done, false);
  // What is underway is bounded by the pipes and the streams' own buffers.
  for (let before = -1; before !== given; ) {
    before = given;
    await createSystemClock().sleep(100, t);
  }
  assert.ok(given < 20, `${given} pieces were taken`);
  await output.return(undefined);
  assert.ok(given < 20, `${given} pieces were taken`);
});

test('who gives a program its input is stopped when the program has ended', async (t) => {
  for (const [status, script] of ['process.exit(0)', 'process.exit(1)'].entries()) {
    const stopped = Promise.withResolvers<void>();
    const input: StreamOptions['input'] = async function* ({ signal }) {
      yield new Uint8Array(10);
      signal.addEventListener('abort', () => stopped.resolve());
      if (signal.aborted) stopped.resolve();
      await stopped.promise;
      signal.throwIfAborted();
    };
    const output = Array.fromAsync(streamProgram({ ...options(script), input }, t));
    if (status === 0) assert.deepEqual(await output, []);
    else await assert.rejects(output, { message: /ended with 1/ });
    await stopped.promise;
  }
});

test('when its input fails a program is killed, and the failure is what its output throws', async (t) => {
  async function* input(): AsyncGenerator<Uint8Array> {
    yield new Uint8Array(10);
    throw new Error('the dump broke off');
  }
  const script = 'process.stdin.on("end", () => console.log("took it for whole")).resume()';
  const output = Array.fromAsync(streamProgram({ ...options(script), input }, t));
  await assert.rejects(output, { message: 'the dump broke off' });
});

test('the output of one program is the input of another, and either’s failure is told', async (t) => {
  const chain = async (first: string, second: string): Promise<string> => {
    const input: StreamOptions['input'] = (run) => streamProgram(options(first), run);
    return Buffer.concat(await Array.fromAsync(streamProgram({ ...options(second), input }, t))).toString();
  };
  const passOn = 'process.stdin.pipe(process.stdout)';
  assert.equal(await chain('console.log("a dump")', passOn), 'a dump\n');
  await assert.rejects(chain('console.log("half"); process.exit(4)', passOn), { message: /ended with 4/ });
  await assert.rejects(chain('setInterval(() => console.log("x"), 10)', 'process.exit(5)'), {
    message: /ended with 5/,
  });
});
