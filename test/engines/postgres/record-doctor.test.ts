import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { diagnosePostgres } from '../../../src/connectors/postgres/diagnose.ts';
import { startPostgres } from '../../servers/postgres.ts';
import type { PostgresServer } from '../../servers/postgres.ts';
import { needsPostgres } from '../../servers/postgres-binaries.ts';
import { placeOfUrl, runtime } from './recording.ts';

const TIMEOUT = { timeout: 60_000 };
const SOUND = { max_slot_wal_keep_size: '1GB', fsync: 'on' };

async function found(
  server: PostgresServer,
  t: TestContext,
  user = 'postgres',
  options: Readonly<Record<string, unknown>> = {},
) {
  const place = placeOfUrl(server.url.replace('postgres@', `${user}@`), { options });
  const findings = await diagnosePostgres(place, runtime, { signal: t.signal });
  for (const { message, hint } of findings) assert.ok(message.length > 0 && hint.length > 0);
  return findings.map(({ code, severity }) => `${severity} ${code}`);
}

test('nothing is found in a server that is set up well', TIMEOUT, async (t) => {
  await using server = await startPostgres({ settings: SOUND, initdb: ['--data-checksums'] });
  await server.query('CREATE ROLE backup LOGIN REPLICATION; GRANT pg_monitor TO backup');
  assert.deepEqual(await found(server, t), []);
  assert.deepEqual(await found(server, t, 'backup'), ['note POSTGRES_NO_RESTORE_POINTS']);
  await server.query('GRANT EXECUTE ON FUNCTION pg_create_restore_point TO backup');
  assert.deepEqual(await found(server, t, 'backup'), []);
});

test('a server that could note what changes, and does not, is told of', {
  ...TIMEOUT,
  ...needsPostgres('17'),
}, async (t) => {
  await using server = await startPostgres({ version: '17', settings: SOUND, initdb: ['--data-checksums'] });
  assert.deepEqual(await found(server, t), ['note POSTGRES_NO_SUMMARIES']);
  await server.query('ALTER SYSTEM SET summarize_wal = on');
  await server.restart();
  assert.deepEqual(await found(server, t), []);
});

test('a server that is only dumped needs a superuser, and nothing for its log', TIMEOUT, async (t) => {
  await using server = await startPostgres();
  await server.query('CREATE ROLE weak LOGIN');
  assert.deepEqual(await found(server, t, 'postgres', { strategy: 'sql' }), []);
  assert.deepEqual(await found(server, t, 'weak', { strategy: 'sql' }), ['error POSTGRES_NOT_PERMITTED']);
});

test('what is missing in a server is found', TIMEOUT, async (t) => {
  await using server = await startPostgres({
    settings: {
      full_page_writes: 'off',
      archive_mode: 'on',
      max_wal_senders: '1',
      max_replication_slots: '0',
      synchronous_standby_names: '*',
      synchronous_commit: 'local',
    },
  });
  await server.query('CREATE ROLE weak LOGIN');
  const expected = [
    'error POSTGRES_NO_CAP',
    'error POSTGRES_SYNCHRONOUS',
    'error POSTGRES_SENDERS',
    'error POSTGRES_SLOTS',
    'warning POSTGRES_NO_CHECKSUMS',
    'warning POSTGRES_FULL_PAGE_WRITES',
    'warning POSTGRES_FSYNC',
    'note POSTGRES_ARCHIVES',
  ];
  assert.deepEqual(await found(server, t), expected);
  const weak = await found(server, t, 'weak');
  assert.ok(weak.includes('error POSTGRES_NOT_PERMITTED'));
  assert.ok(weak.includes('error POSTGRES_NO_REPLICATION'));
  assert.ok(weak.includes('warning POSTGRES_NO_MONITOR'));
  await server.stop();
  assert.deepEqual(await found(server, t), ['error POSTGRES_UNREACHABLE']);
});

test('wal_level minimal is found', TIMEOUT, async (t) => {
  await using server = await startPostgres({
    settings: { ...SOUND, wal_level: 'minimal', max_wal_senders: '0' },
    initdb: ['--data-checksums'],
  });
  const findings = await found(server, t);
  assert.ok(findings.includes('error POSTGRES_WAL_LEVEL'));
  assert.ok(findings.includes('error POSTGRES_NO_REPLICATION'));
});

test('a slot that nobody uses, and one that is lost, are found', TIMEOUT, async (t) => {
  const settings = { ...SOUND, max_slot_wal_keep_size: '1MB', max_wal_size: '32MB', min_wal_size: '32MB' };
  await using server = await startPostgres({ settings, initdb: ['--data-checksums'] });
  await server.query("SELECT pg_create_physical_replication_slot('tidemark', true)");
  assert.deepEqual(await found(server, t), ['note POSTGRES_SLOT_IDLE']);
  for (let round = 0; round < 6; round++) {
    await server.query('CREATE TABLE IF NOT EXISTS t (n int); INSERT INTO t SELECT generate_series(1, 100000)');
    await server.query('SELECT pg_switch_wal(); CHECKPOINT');
  }
  assert.deepEqual(await found(server, t), ['error POSTGRES_SLOT_LOST']);
});

test('a slot that is named counts as ours where no other is left', TIMEOUT, async (t) => {
  const settings = { ...SOUND, max_replication_slots: '1', max_wal_senders: '2' };
  await using server = await startPostgres({ settings, initdb: ['--data-checksums'] });
  await server.query("SELECT pg_create_physical_replication_slot('mine', true)");
  assert.deepEqual(await found(server, t), ['error POSTGRES_SLOTS']);
  assert.deepEqual(await found(server, t, 'postgres', { slot: 'mine' }), ['note POSTGRES_SLOT_IDLE']);
});

test('a slot on a server that was left after a failover is found', TIMEOUT, async (t) => {
  await using left = await startPostgres({ settings: SOUND, initdb: ['--data-checksums'] });
  await left.query("SELECT pg_create_physical_replication_slot('tidemark_0a1b', true)");
  await using standby = await startPostgres({ standbyOf: { primary: left }, settings: SOUND });
  await standby.query('SELECT pg_promote()');
  const place = placeOfUrl(`postgres://postgres@127.0.0.1:${left.port},127.0.0.1:${standby.port}/postgres`);
  const findings = await diagnosePostgres(place, runtime, { signal: t.signal });
  assert.deepEqual(
    findings.map(({ code }) => code),
    ['POSTGRES_SLOT_LEFT'],
  );
  assert.match(findings[0]?.message ?? '', new RegExp(`${left.port} is not recorded now`));
});

test('a standby is not taken for a primary, and is told where it is wanted', TIMEOUT, async (t) => {
  await using primary = await startPostgres({ settings: SOUND, initdb: ['--data-checksums'] });
  await using standby = await startPostgres({ standbyOf: { primary } });
  assert.deepEqual(await found(standby, t), ['error POSTGRES_UNREACHABLE']);
  assert.deepEqual(await found(standby, t, 'postgres', { from: 'standby' }), ['note POSTGRES_STANDBY']);
});
