import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import type { Run } from '../../src/core/run.ts';
import { createSystemClock } from '../../src/flow/clock.ts';
import { untilAborted } from '../../src/flow/until-aborted.ts';
import { runProgram, streamProgram } from '../../src/io/program.ts';
import type { ProgramOptions } from '../../src/io/program.ts';
import { waitUntil } from '../servers/guarded.ts';
import { needs } from '../servers/needs.ts';
import { startSshd } from '../servers/ssh.ts';
import type { SshServer } from '../servers/ssh.ts';

const programs = needs('sshd', 'ssh', 'ssh-keygen', 'bash');
const PATH = process.env['PATH'];
const SECRET = 'pa ss\n\'"$HOME`\\n%s ünïcode\n';

/** As kubectl does it: the words after `--` are a program's own, and it gets none of the caller's variables. */
const KUBECTL_LIKE = ['bash', '-c', 'while [[ $1 != -- ]]; do shift; done; shift; exec env -i PATH="$PATH" "$@"'];
let ssh: SshServer | undefined;
before(async () => {
  if (programs.skip === false) ssh = await startSshd();
});
after(async () => await ssh?.[Symbol.asyncDispose]());

/** Ways to a program: here, and at the far end of each kind of prefix. */
function ways(): readonly { readonly name: string; readonly via: readonly string[] }[] {
  return [
    { name: 'here', via: [] },
    { name: 'ssh', via: ssh?.via ?? [] },
    { name: 'kubectl', via: [...KUBECTL_LIKE, 'kubectl', 'exec', '-i', 'pod/db', '--'] },
    { name: 'ssh and a program there', via: [...(ssh?.via ?? []), 'env', '-i', `PATH=${PATH}`] },
    { name: 'ssh with a shell that says something', via: [...(ssh?.via ?? []), 'echo', 'welcome;'] },
  ];
}

function call(script: string, changes: Partial<ProgramOptions> = {}): ProgramOptions {
  return {
    command: [process.execPath, '-e', script],
    environment: { PATH },
    timeoutMs: 60_000,
    maxOutputBytes: 1000,
    clock: createSystemClock(),
    ...changes,
  };
}

test('a program gets its arguments and secrets as they are, wherever it runs', programs, async (t) => {
  const odd = [
    'a b',
    "it's",
    '"',
    '$HOME $(id) `id`',
    'two\nlines\n',
    '',
    '\\',
    '*',
    '!x',
    '-n',
    '~',
    '#',
    'ü',
    '; exit 1',
    '%s',
  ];
  const script =
    'process.stdout.write(JSON.stringify([process.argv.slice(1), process.env.PGPASSWORD, fs.readFileSync(0, "utf8")]))';
  const command = [process.execPath, '-e', script, '--', ...odd];
  for (const { name, via } of ways()) {
    const output = await runProgram(call('', { command, via, secrets: { PGPASSWORD: SECRET } }), t);
    assert.deepEqual(JSON.parse(Buffer.from(output).toString()), [odd, SECRET, ''], name);
  }
});

test('no argument list on the machine ever holds a secret', programs, async (t) => {
  const secret = 'fähig-tell-nobody';
  for (const { name, via } of ways()) {
    let lists: readonly string[] = [];
    async function* input(): AsyncGenerator<Uint8Array> {
      // Whatever led to the program is still there when it runs.
      await waitUntil('the program runs', () => {
        lists = everyArgumentList();
        return lists.some((list) => list.startsWith(process.execPath) && list.includes('PGPASSWORD + text'));
      });
      yield Buffer.from('go on');
    }
    const script = 'process.stdin.on("data", (text) => process.stdout.write(process.env.PGPASSWORD + text))';
    const output = streamProgram({ ...call(script, { via, secrets: { PGPASSWORD: secret } }), input }, t);
    assert.equal(Buffer.concat(await Array.fromAsync(output)).toString(), `${secret}go on`, name);
    assert.deepEqual(
      lists.filter((list) => list.includes('tell-nobody')),
      [],
      name,
    );
  }
});

function everyArgumentList(): readonly string[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map((pid) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, 'utf8');
      } catch {
        return '';
      }
    });
}

test('input and output are any bytes, of any length, wherever the program runs', programs, async (t) => {
  const block = Buffer.alloc(100_000, Buffer.from([...Array(256).keys()]));
  for (const { name, via } of ways()) {
    async function* input(): AsyncGenerator<Uint8Array> {
      for (let count = 0; count < 20; count += 1) yield block;
    }
    const output = streamProgram({ ...call('', { command: ['cat'], via }), input }, t);
    const bytes = Buffer.concat(await Array.fromAsync(output));
    assert.ok(bytes.equals(Buffer.concat(Array.from({ length: 20 }, () => block))), name);
  }
});

test('the status and complaint of a far program are told', programs, async (t) => {
  for (const { name, via } of ways()) {
    const failing = runProgram(call('console.error("no such table"); process.exit(3)', { via }), t);
    await assert.rejects(failing, { code: 'FAILED', message: /ended with 3: no such table/ }, name);
    const absent = runProgram(call('', { command: ['no-such-program'], via }), t);
    const message =
      via.length > 0 ? /no-such-program by \w+ ended with 12[67]: .*(?:not found|denied)/ : /can’t be started/;
    await assert.rejects(absent, { code: 'FAILED', message }, name);
  }
});

test('a prefix that does not get there is an error that says so', programs, async (t) => {
  const unknown = ['ssh', '-o', 'BatchMode=yes', '-o', 'ConnectTimeout=5', '-p', '1', '127.0.0.1'];
  const failures: readonly (readonly [readonly string[], RegExp])[] = [
    [unknown, /^psql by ssh ended with 255: .*refused/],
    [['bash', '-c', 'exit 0'], /^psql by bash was not started: its prefix passes no input on/],
    [['no-such-prefix'], /^psql by no-such-prefix can’t be started/],
    [['bash', '-c', 'yes'], /does not become a shell/],
  ];
  for (const [via, message] of failures) {
    await assert.rejects(runProgram(call('', { command: ['psql'], via }), t), { code: 'FAILED', message });
  }
  const zero = runProgram(call('', { command: ['psql', '\0'], via: unknown }), t);
  await assert.rejects(zero, { code: 'FAILED', message: /zero byte/ });
});

test(
  'an abort ends the wait for a far program with its reason, and the program too when it reads',
  programs,
  async () => {
    for (const { name, via } of ways()) {
      const controller = new AbortController();
      const script = 'process.stdin.on("end", () => process.exit()).resume(); console.log("now it", "is here")';
      async function* input(run: Run): AsyncGenerator<Uint8Array> {
        yield Buffer.from('a');
        await untilAborted(new Promise<never>(() => undefined), run);
      }
      const output = streamProgram({ ...call(script, { via }), input }, controller);
      assert.equal(Buffer.from((await output.next()).value ?? '').toString(), 'now it is here\n', name);
      controller.abort(new Error('enough'));
      await assert.rejects(output.next(), { message: 'enough' }, name);
      await waitUntil(`${name}: the program is gone`, () => {
        return everyArgumentList().every((list) => !list.includes('console.log("now it"'));
      });
    }
  },
);
