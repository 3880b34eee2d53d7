import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createVirtualClock } from '../../src/flow/virtual-clock.ts';
import { readSecret } from '../../src/io/secret.ts';

const context = { purpose: 'the passphrase', environment: {}, clock: createVirtualClock(0) };

function command(script: string): { readonly kind: 'command'; readonly command: readonly string[] } {
  return { kind: 'command', command: [process.execPath, '-e', script] };
}

test('the first line that a command writes is the secret', async (t) => {
  const { secret, findings } = await readSecret(command('console.log("s3cret \\r\\nlogin: me")'), context, t);
  assert.equal(secret.reveal(), 's3cret ');
  assert.deepEqual(findings, []);
  const bare = await readSecret(command('process.stdout.write("bare")'), context, t);
  assert.equal(bare.secret.reveal(), 'bare');
});

test('a command that fails or says nothing leaves the secret missing, and its output is not told', async (t) => {
  const failing = 'console.log("s3cret"); console.error("vault is sealed"); process.exitCode = 1';
  const message = `no secret for the passphrase: ${process.execPath} ended with 1: vault is sealed`;
  await assert.rejects(readSecret(command(failing), context, t), { code: 'SECRET_MISSING', message });
  const silent = readSecret(command(''), context, t);
  await assert.rejects(silent, { code: 'SECRET_MISSING', message: /the output of the command .* is empty$/ });
});

test('an abort ends the wait for a command with its reason', async () => {
  const controller = new AbortController();
  const reason = new Error('enough');
  const secret = readSecret(command('setInterval(() => {}, 1000)'), context, { signal: controller.signal });
  controller.abort(reason);
  await assert.rejects(secret, reason);
});
