import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import type { TidemarkError } from '../../../src/core/errors.ts';
import { isTidemarkError } from '../../../src/core/errors.ts';
import { must } from '../../../src/core/must.ts';
import type { Recorder } from '../../../src/core/recorder.ts';
import { recordInMemory } from '../../../src/testing/tree/memory-base.ts';
import { temporaryFolder } from '../../../src/testing/tree/temporary-folder.ts';
import { makeCertificates } from '../../servers/certificates.ts';
import { startProxy } from '../../servers/proxy.ts';
import { promote, startRedis } from '../../servers/redis.ts';
import {
  digestOf,
  feed,
  Followed,
  forever,
  openAt,
  placeOfUrl,
  runtime,
  startWith,
  untilCaughtUp,
} from './recording.ts';

async function refusalOf(opening: Promise<AsyncDisposable>): Promise<TidemarkError> {
  try {
    await using _opened = await opening;
  } catch (error) {
    if (isTidemarkError(error, 'STORE_UNREACHABLE')) return error;
    throw error;
  }
  throw new Error('it was opened');
}

test('a server is trusted only with the right certificate for the right name', async () => {
  using certificates = await makeCertificates();
  const { ca, wrongCa, wrongName, expired, wrongServer } = certificates;
  {
    await using server = await startRedis({ tls: { certificates } });
    await using _right = await openAt(placeOfUrl(server.url, { caFile: ca }));
    const untrusted = await refusalOf(openAt(placeOfUrl(server.url, { caFile: wrongCa })));
    assert.match(untrusted.message, /TLS fails/);
    await refusalOf(openAt(placeOfUrl(server.url)));
    const name = await refusalOf(openAt(placeOfUrl(server.url, { caFile: ca, serverName: 'elsewhere.example' })));
    assert.match(name.message, /its certificate is for another host/);
    assert.match(
      (await refusalOf(openAt(placeOfUrl(`redis://127.0.0.1:${server.port}`)))).message,
      /ended the connection/,
    );
  }
  for (const shown of [wrongName, expired, wrongServer]) {
    await using server = await startRedis({ tls: { certificates, server: shown } });
    await refusalOf(openAt(placeOfUrl(server.url, { caFile: ca })));
  }
  await using named = await startRedis({ tls: { certificates, server: wrongName } });
  await using _named = await openAt(placeOfUrl(named.url, { caFile: ca, serverName: 'elsewhere.example' }));
});

test('a server that asks for a certificate is shown one', async () => {
  using certificates = await makeCertificates();
  await using server = await startRedis({ tls: { certificates, clients: true } });
  const { cert, key } = certificates.client;
  await using recorder = await openAt(
    placeOfUrl(server.url, { caFile: certificates.ca, certFile: cert, keyFile: key }),
  );
  await using base = await recorder.openBase(forever);
  assert.equal((await recordInMemory(base, forever)).all.length, 1);
  await refusalOf(openAt(placeOfUrl(server.url, { caFile: certificates.ca })));
});

test('a wrong or missing password is refused by name, and not repeated', async () => {
  await using server = await startRedis({ password: 'richtig' });
  await using _right = await openAt(placeOfUrl(server.url, { password: 'richtig' }));
  const wrong = await refusalOf(openAt(placeOfUrl(server.url, { password: 'geheim' })));
  assert.match(wrong.message, /refuses the password of the default user/);
  assert.ok(!JSON.stringify([wrong.message, wrong.hint, String(wrong.cause)]).includes('geheim'));
  assert.match((await refusalOf(openAt(placeOfUrl(server.url)))).message, /asks for a password/);
});

test('a user with the rules that the hint names can record; without, what is missing is named', async () => {
  const users = [
    { name: 'backup', password: 'x', rules: '+ping +info +psync +replconf' },
    { name: 'weak', password: 'x', rules: '+ping +info +replconf' },
    { name: 'none', password: 'x', rules: '+ping' },
  ];
  await using server = await startRedis({ users });
  const at = (user: string) => placeOfUrl(server.url.replace('//', `//${user}@`), { password: 'x' });
  {
    await using recorder = await openAt(at('backup'));
    await using base = await recorder.openBase(forever);
    assert.equal((await recordInMemory(base, forever)).all.length, 1);
  }
  await using weak = await openAt(at('weak'));
  const error = await refusalOf(weak.openBase(forever));
  assert.match(error.message, /the user weak lacks a permission: .*psync/);
  assert.match(error.hint, /ACL SETUSER weak \+ping \+info \+psync \+replconf.*source: scan/);
  assert.match((await refusalOf(openAt(at('none')))).message, /the user none lacks a permission: .*info/);
});

test('what is no Redis server, or none at all, is said to be that', async () => {
  await using server = await startRedis();
  await using proxy = await startProxy({ toPort: server.port });
  await proxy.refuse();
  const error = await refusalOf(openAt(placeOfUrl(`redis://127.0.0.1:${proxy.port}`)));
  assert.match(error.message, /nothing listens there/);
});

test('a server that is loading is waited for', async () => {
  await using folder = temporaryFolder();
  await using server = await startRedis({ folder: folder.path, args: ['--key-load-delay', '50'] });
  await server.call('DEBUG', 'POPULATE', '20000');
  await server.call('SAVE');
  await server.kill();
  const starting = server.start();
  const place = placeOfUrl(server.url);
  // It listens before it loads.
  const opening = async (): Promise<Recorder> => {
    try {
      return await openAt(place);
    } catch (error) {
      if (!(error instanceof Error && error.message.includes('nothing listens'))) throw error;
      await runtime.clock.sleep(10, forever);
      return await opening();
    }
  };
  await using recorder = await opening();
  assert.equal(recorder.exact, 'position');
  await starting;
});

test('what a killed process left in the state folder is removed, and nothing else', async () => {
  await using server = await startRedis();
  await using folder = temporaryFolder();
  const stateFolder = folder.at('state');
  mkdirSync(stateFolder);
  for (const name of ['base-0123456789abcdef.rdb', 'spool-1']) writeFileSync(folder.at('state', name), 'x');
  {
    await using recorder = await openAt(placeOfUrl(server.url), { stateFolder });
    assert.deepEqual(readdirSync(stateFolder), ['spool-1']);
    await must(recorder.begin, 'a beginning').call(recorder, forever);
    assert.equal(readdirSync(stateFolder).length, 2);
  }
  assert.deepEqual(readdirSync(stateFolder), ['spool-1']);
});

test('Sentinel is asked for the master, which is followed through a failover in one lineage', async () => {
  await using master = await startRedis();
  await using replica = await startRedis({ replicaOf: master });
  await using sentinel = await startRedis({ program: 'redis-sentinel' });
  for (const words of [
    ['MONITOR', 'mymaster', '127.0.0.1', String(master.port), '1'],
    ['SET', 'mymaster', 'down-after-milliseconds', '500'],
    ['SET', 'mymaster', 'failover-timeout', '5000'],
  ]) {
    await sentinel.call('SENTINEL', ...words);
  }
  const place = placeOfUrl('redis://mymaster', { sentinels: [`127.0.0.1:1`, `127.0.0.1:${sentinel.port}`] });
  const recorder = await openAt(place);
  const from = await must(recorder.begin, 'a beginning').call(recorder, forever);
  const base = await recordInMemory(await recorder.openBase(forever), forever);
  const followed = new Followed(await must(recorder.openLog, 'a log').call(recorder, from, forever));
  await master.pipe(Array.from({ length: 500 }, (_, index) => ['SET', `a${index}`, 'x']));
  await followed.upTo(await must(recorder.head, 'a head').call(recorder, forever));
  while (!(await sentinel.call('SENTINEL', 'REPLICAS', 'mymaster')).includes(String(replica.port))) {
    await runtime.clock.sleep(100, forever);
  }
  assert.ok(!(await sentinel.call('SENTINEL', 'REPLICAS', 'mymaster')).includes('tidemark'), 'no replica to Sentinel');
  await untilCaughtUp(replica, master);
  await master.kill();
  await followed.failed();
  const after = must(followed.last, 'a position');
  await followed[Symbol.asyncDispose]();
  await recorder[Symbol.asyncDispose]();

  while ((await replica.info('replication'))['role'] !== 'master') await runtime.clock.sleep(100, forever);
  while (!(await sentinel.call('SENTINEL', 'GET-MASTER-ADDR-BY-NAME', 'mymaster')).includes(String(replica.port))) {
    await runtime.clock.sleep(100, forever);
  }
  await using second = await openAt(place, { previous: after });
  assert.equal(second.lineage.id, from.lineage);
  await using on = new Followed(await must(second.openLog, 'a log').call(second, after, forever));
  await replica.pipe(Array.from({ length: 500 }, (_, index) => ['SET', `b${index}`, 'x']));
  await on.upTo(await must(second.head, 'a head').call(second, forever));
  await using loaded = await startWith(base);
  await feed(loaded.server.port, Buffer.concat([followed.bytes(from), on.bytes(after)]));
  assert.equal(await digestOf(loaded.server), await digestOf(replica));
});

test('no mark covers a master that any Sentinel has replaced, though it runs on', async () => {
  await using master = await startRedis();
  await using replica = await startRedis({ replicaOf: master });
  await using one = await startRedis({ program: 'redis-sentinel' });
  await using other = await startRedis({ program: 'redis-sentinel' });
  for (const sentinel of [one, other]) {
    await sentinel.call('SENTINEL', 'MONITOR', 'mymaster', '127.0.0.1', String(master.port), '2');
  }
  const sentinels = [one, other].map(({ port }) => `127.0.0.1:${port}`);
  await using recorder = await openAt(placeOfUrl('redis://mymaster', { sentinels }));
  const from = await must(recorder.begin, 'a beginning').call(recorder, forever);
  await using followed = new Followed(await must(recorder.openLog, 'a log').call(recorder, from, forever));
  const head = async () => await must(recorder.head, 'a head').call(recorder, forever);
  await followed.upTo(await head());
  const name = async (port: number): Promise<void> => {
    await other.call('SENTINEL', 'REMOVE', 'mymaster');
    await other.call('SENTINEL', 'MONITOR', 'mymaster', '127.0.0.1', String(port), '2');
  };
  // Of one that nobody reaches, and that only half of them names, nobody hears either.
  await name(1);
  await head();
  await name(replica.port);
  await head();
  await promote(replica);
  await assert.rejects(head(), { code: 'STORE_UNREACHABLE', message: /Sentinel names another master, 127.0.0.1:/ });
  await followed.failed();
});

test('a master that Sentinel does not know, and Sentinels that are away, are named', async () => {
  await using sentinel = await startRedis({ program: 'redis-sentinel' });
  const place = placeOfUrl('redis://nobody', { sentinels: [`127.0.0.1:${sentinel.port}`, '127.0.0.1:1'] });
  const error = await refusalOf(openAt(place));
  assert.match(
    error.message,
    /no Sentinel knows where the master nobody is: .*watches no master nobody; .*nothing listens there/,
  );
});

test('a server that is killed in the middle of a base leaves an error and no file', async () => {
  for (const transfer of ['diskless', 'disk'] as const) {
    await using server = await startRedis({ transfer, args: ['--rdb-key-save-delay', '100'] });
    await server.call('DEBUG', 'POPULATE', '20000', 'key', '500');
    await using folder = temporaryFolder();
    await using recorder = await openAt(placeOfUrl(server.url), { stateFolder: folder.path });
    const taking = must(recorder.begin, 'a beginning').call(recorder, forever);
    taking.catch(() => undefined);
    // A diskless one is in the middle of it then, the other one still writes its own file.
    while (transfer === 'diskless' && readdirSync(folder.path).length === 0) await runtime.clock.sleep(5, forever);
    while ((await server.info('persistence'))['rdb_bgsave_in_progress'] !== '1') await runtime.clock.sleep(5, forever);
    await server.kill();
    await assert.rejects(taking, (error) => isTidemarkError(error, 'STORE_UNREACHABLE'), transfer);
    assert.deepEqual(readdirSync(folder.path), [], transfer);
    await assert.rejects(recorder.openBase(forever), (error) => isTidemarkError(error, 'STORE_UNREACHABLE'));
  }
});
