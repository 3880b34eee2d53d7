import assert from 'node:assert/strict';
import { test } from 'node:test';
import { diagnoseRedis } from '../../../src/connectors/redis/diagnose.ts';
import type { RedisPlace } from '../../../src/connectors/redis/place.ts';
import { startRedis } from '../../servers/redis.ts';
import { forever, openAt, placeOfUrl, runtime } from './recording.ts';

async function codes(place: RedisPlace): Promise<readonly string[]> {
  const findings = await diagnoseRedis(place, runtime, forever);
  for (const { message, hint } of findings) assert.ok(message.length > 10 && hint.length > 10);
  return findings.map(({ code, severity }) => `${severity} ${code}`).sort();
}

test('of a server in good order doctor has nothing to say, and makes it do nothing', async () => {
  await using server = await startRedis({ args: ['--appendonly', 'yes'] });
  assert.deepEqual(await codes(placeOfUrl(server.url)), []);
  assert.equal((await server.info('replication'))['repl_backlog_active'], '0', 'it has no replica yet');
  await using _recorder = await openAt(placeOfUrl(server.url));
  const forks = (await server.info('stats'))['total_forks'];
  assert.deepEqual(await codes(placeOfUrl(server.url)), []);
  assert.equal((await server.info('stats'))['total_forks'], forks);
});

test('what is missing or dangerous is found', async () => {
  const args = ['--repl-backlog-size', '16kb', '--client-output-buffer-limit', 'replica 1mb 1mb 1'];
  args.push(
    '--maxmemory',
    '100mb',
    '--maxmemory-policy',
    'allkeys-lru',
    '--min-replicas-to-write',
    '1',
    '--min-replicas-max-lag',
    '0',
  );
  await using server = await startRedis({ args, transfer: 'disk' });
  await using _recorder = await openAt(placeOfUrl(server.url));
  await server.call('DEBUG', 'POPULATE', '10');
  await server.pipe(Array.from({ length: 3_000 }, (_, index) => ['SET', `k${index}`, 'v'.repeat(100)]));
  assert.deepEqual(await codes(placeOfUrl(server.url)), [
    'note REDIS_COUNTS_RECORDER',
    'note REDIS_DISK_SYNC',
    'note REDIS_EVICTS',
    'note REDIS_NOT_PERSISTENT',
    'warning REDIS_BACKLOG_SMALL',
    'warning REDIS_OUTPUT_BUFFER_SMALL',
  ]);
});

test('who may not be a replica is told so, with and without a backlog', async () => {
  const users = [
    { name: 'weak', password: 'x', rules: '+ping +info +replconf' },
    { name: 'asking', password: 'x', rules: '+ping +info +acl|dryrun' },
  ];
  await using server = await startRedis({ users });
  const at = (user: string, options = {}): RedisPlace =>
    placeOfUrl(server.url.replace('//', `//${user}@`), { password: 'x', ...options });
  const notes = ['note REDIS_RESTORE_PERMISSION', 'note REDIS_SETTINGS_HIDDEN'];
  assert.deepEqual(await codes(at('weak')), ['note REDIS_PERMISSION_UNKNOWN', ...notes]);
  assert.deepEqual(await codes(at('asking')), ['error REDIS_PERMISSION', ...notes]);
  await using _recorder = await openAt(placeOfUrl(server.url));
  assert.deepEqual(await codes(at('weak')), ['error REDIS_PERMISSION', ...notes]);
  assert.deepEqual(await codes(at('weak', { source: 'scan' })), [...notes, 'warning REDIS_SCANNED']);
});

test('a replica, a wrong password and nobody are one error each', async () => {
  await using master = await startRedis({ password: 'richtig' });
  await using replica = await startRedis({ replicaOf: master });
  assert.deepEqual(await codes(placeOfUrl(replica.url)), ['error REDIS_UNREACHABLE']);
  assert.deepEqual(await codes(placeOfUrl(master.url, { password: 'falsch' })), ['error REDIS_UNREACHABLE']);
  assert.deepEqual(await codes(placeOfUrl('redis://127.0.0.1:1')), ['error REDIS_UNREACHABLE']);
});
