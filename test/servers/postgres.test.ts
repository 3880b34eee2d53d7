import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import pg from 'pg';
import { makeCertificates } from './certificates.ts';
import { needsPostgres } from './postgres-binaries.ts';
import { promote, startPostgres, untilCaughtUp } from './postgres.ts';

test('a server answers, keeps its data when it is killed and leaves nothing', needsPostgres(), async () => {
  const server = await startPostgres({ settings: { work_mem: '5MB' } });
  await server.query('CREATE TABLE a (n int); INSERT INTO a VALUES (1), (2)');
  assert.deepEqual(await server.query('SELECT n FROM a ORDER BY n'), [{ n: 1 }, { n: 2 }]);
  assert.equal(await server.value('SHOW work_mem'), '5MB');
  await server.kill();
  await server.start();
  await server.restart('smart');
  assert.equal(await server.value('SELECT count(*) FROM a'), '2');
  await server.pause();
  await server.resume();
  await server[Symbol.asyncDispose]();
  assert.equal(existsSync(server.folder), false);
});

test('no two servers have the same system identifier', needsPostgres(), async () => {
  await using one = await startPostgres();
  await using other = await startPostgres();
  const identifier = 'SELECT system_identifier FROM pg_control_system()';
  assert.notEqual(await one.value(identifier), await other.value(identifier));
});

test('a standby follows and can be promoted', needsPostgres(), async () => {
  await using primary = await startPostgres();
  await primary.query("CREATE TABLE a (n int); SELECT pg_create_physical_replication_slot('s')");
  await using standby = await startPostgres({ standbyOf: { primary, slot: 's' } });
  await primary.query('INSERT INTO a VALUES (1)');
  await untilCaughtUp(standby, primary);
  assert.equal(await standby.value('SELECT count(*) FROM a'), '1');
  await primary.kill();
  await promote(standby);
  await standby.query('INSERT INTO a VALUES (2)');
  assert.equal(await standby.value('SELECT timeline_id FROM pg_control_checkpoint()'), '2');
});

test(
  'with TLS a server shows the certificate that it was given and asks for the password',
  needsPostgres(),
  async () => {
    using certificates = await makeCertificates();
    for (const server of [undefined, certificates.wrongName]) {
      const tls = { certificates, ...(server && { server }) };
      await using started = await startPostgres({ tls, hba: 'hostssl all all 127.0.0.1/32 scram-sha-256' });
      await started.query("CREATE ROLE backup LOGIN PASSWORD 'secret'");
      const connect = async (password: string): Promise<void> => {
        const ssl = { ca: readFileSync(certificates.ca), servername: 'localhost' };
        const address = { host: '127.0.0.1', port: started.port, user: 'backup', database: 'postgres' };
        const client = new pg.Client({ ...address, password, ssl });
        await client.connect();
        await client.end();
      };
      if (server) {
        await assert.rejects(connect('secret'), { code: 'ERR_TLS_CERT_ALTNAME_INVALID' });
      } else {
        await connect('secret');
        await assert.rejects(connect('wrong'), { code: '28P01' });
      }
    }
  },
);
