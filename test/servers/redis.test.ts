import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { test } from 'node:test';
import { makeCertificates } from './certificates.ts';
import { needs } from './needs.ts';
import { startRedis, untilSynchronised } from './redis.ts';

const programs = needs('redis-server', 'redis-cli', 'openssl');

test('a server answers, keeps its port over a restart and leaves nothing', programs, async () => {
  const server = await startRedis({ args: ['--appendonly', 'yes'] });
  await server.call('set', 'a', 'x y');
  assert.equal(await server.call('get', 'a'), 'x y');
  await assert.rejects(server.call('nonsense'), /unknown command/);
  await server.pipe([['set', 'b', Buffer.from([0, 10, 255])]]);
  assert.equal(await server.call('strlen', 'b'), '3');
  await server.kill();
  await assert.rejects(server.call('ping'), /refused/);
  await server.start();
  assert.equal(await server.call('get', 'a'), 'x y');
  await server.restart();
  assert.equal(await server.call('get', 'a'), 'x y');
  await server[Symbol.asyncDispose]();
  assert.equal(existsSync(server.folder), false);
});

test('a server that stands still does not answer until it goes on', programs, async () => {
  await using server = await startRedis();
  await server.pause();
  let hasAnswered = false;
  const answer = server.call('ping').then((text) => {
    hasAnswered = true;
    return text;
  });
  await new Promise((resolve) => setTimeout(resolve, 50));
  assert.equal(hasAnswered, false);
  await server.resume();
  assert.equal(await answer, 'PONG');
});

test('a replica has what its master has, by socket or by file, with users and passwords', programs, async () => {
  for (const transfer of ['diskless', 'disk'] as const) {
    const users = [{ name: 'backup', password: 'b', rules: '+psync +replconf +ping' }];
    await using master = await startRedis({ transfer, password: 'secret', users });
    await master.call('set', 'a', '1');
    await using replica = await startRedis({ replicaOf: master });
    assert.equal(await replica.call('get', 'a'), '1');
    assert.match(await master.call('acl', 'list'), /user backup on/);
    await master.restart();
    await untilSynchronised(replica);
  }
});

test('with TLS a server shows the certificate that it was given', programs, async () => {
  using certificates = await makeCertificates();
  await using right = await startRedis({ tls: { certificates, clients: true } });
  assert.equal(await right.call('ping'), 'PONG');
  assert.match(right.url, /^rediss:/);
  await using wrong = await startRedis({ tls: { certificates, server: certificates.expired } });
  assert.equal(await wrong.call('ping'), 'PONG');
});
