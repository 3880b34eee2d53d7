import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { must } from '../../../src/core/must.ts';
import type { Position } from '../../../src/core/position.ts';
import type { Recorder } from '../../../src/core/recorder.ts';
import { openPostgresRecorder } from '../../../src/connectors/postgres/recorder.ts';
import { temporaryFolder } from '../../../src/testing/tree/temporary-folder.ts';
import { makeCertificates } from '../../servers/certificates.ts';
import { waitUntil } from '../../servers/guarded.ts';
import { startPostgres } from '../../servers/postgres.ts';
import { startProxy } from '../../servers/proxy.ts';
import { placeOfUrl, Recording, runtime, tells } from './recording.ts';
import type { PlaceOptions } from './recording.ts';

const TIMEOUT = { timeout: 90_000 };

async function headOf(recorder: Recorder, t: TestContext): Promise<Position> {
  return await must(recorder.head, 'a head').call(recorder, { signal: t.signal });
}

function urlOf(port: number, more = ''): string {
  return `postgres://postgres@127.0.0.1:${port}/postgres${more}`;
}

test('over a network that breaks all the time the log is whole', TIMEOUT, async (t) => {
  await using server = await startPostgres();
  await using proxy = await startProxy({ toPort: server.port });
  await using state = temporaryFolder();
  const run = { signal: t.signal };
  const place = placeOfUrl(urlOf(proxy.port));
  let after: Position | undefined;
  const ended = new AbortController();
  const writing = (async () => {
    await server.query('CREATE TABLE t AS SELECT 1 AS n');
    while (!ended.signal.aborted) await server.query('INSERT INTO t SELECT generate_series(1, 2000)');
  })();
  let breaks = 0;
  while (breaks < 10) {
    try {
      await using recorder = await openPostgresRecorder(
        place,
        { runtime, stateFolder: state.path, previous: after },
        run,
      );
      const from: Position = after ?? (await must(recorder.begin, 'a begin').call(recorder, run));
      after ??= from;
      await using recording = await Recording.open(recorder, from, run);
      const breaking = (async () => {
        for (let batches = 0; batches < 5; batches++) await recording.next();
        proxy.cut();
      })();
      await assert.rejects(recording.reaches({ ...from, order: 'z' }), tells('STORE_UNREACHABLE', /lost/));
      await breaking.catch(() => undefined);
      recording.bytes();
      after = recording.last;
      recording.acknowledge();
      breaks++;
    } catch (error) {
      tells('STORE_UNREACHABLE', /./)(error);
    }
  }
  ended.abort();
  await writing;
  await using recorder = await openPostgresRecorder(place, { runtime, stateFolder: state.path, previous: after }, run);
  await using recording = await Recording.open(recorder, must(after, 'a position'), run);
  await recording.reaches(await headOf(recorder, t));
});

test(
  'what an own connection left behind at the server, whose end was not told, does not keep the next one out',
  TIMEOUT,
  async (t) => {
    await using server = await startPostgres();
    await using proxy = await startProxy({ toPort: server.port });
    await using state = temporaryFolder();
    const run = { signal: t.signal };
    await using recorder = await openPostgresRecorder(
      placeOfUrl(urlOf(proxy.port)),
      { runtime, stateFolder: state.path },
      run,
    );
    await using recording = await Recording.open(
      recorder,
      await must(recorder.begin, 'a begin').call(recorder, run),
      run,
    );
    await recording.reaches(await headOf(recorder, t));
    proxy.pause();
    const context = { runtime, stateFolder: state.path, previous: recording.last };
    await using other = await openPostgresRecorder(placeOfUrl(server.url), context, run);
    await using next = await Recording.open(other, recording.last, run);
    await server.query('CREATE TABLE t (n int)');
    await next.reaches(await headOf(other, t));
  },
);

test('a server that is killed in the middle of a base fails it, and one that is away is told', TIMEOUT, async (t) => {
  await using server = await startPostgres();
  await using proxy = await startProxy({ toPort: server.port });
  const run = { signal: t.signal };
  await server.query('CREATE TABLE t AS SELECT n, repeat(md5(n::text), 30) AS words FROM generate_series(1, 30000) n');
  proxy.slow({ bytesPerSecond: 10_000_000 });
  await using recorder = await openPostgresRecorder(placeOfUrl(urlOf(proxy.port)), { runtime }, run);
  await using base = await recorder.openBase(run);
  const buffer = Buffer.alloc(65_536);
  const reading = async (): Promise<void> => {
    for await (const [entry] of base.entries) {
      const content = entry?.describe().content;
      if (content?.kind !== 'reader') continue;
      await using reader = await content.open(run);
      // Who reads ahead pulls the next entry before it is known that this one failed.
      while ((await reader.read(buffer).catch(() => 0)) > 0);
    }
  };
  const killing = runtime.clock.sleep(500, run).then(() => server.kill());
  await assert.rejects(reading(), tells('STORE_UNREACHABLE', /lost|refuses|terminat/));
  await killing;
  await assert.rejects(base.finish(run));
  await assert.rejects(headOf(recorder, t), tells('STORE_UNREACHABLE', /127\.0\.0\.1/));
  await assert.rejects(headOf(recorder, t), tells('STORE_UNREACHABLE', /127\.0\.0\.1/));
  await server.start();
  await headOf(recorder, t);
  await proxy.refuse();
  await assert.rejects(
    openPostgresRecorder(placeOfUrl(urlOf(proxy.port)), { runtime }, run),
    tells('STORE_UNREACHABLE', /nothing listens/),
  );
});

test('who asks a recorder that is closed opens nothing that nobody closes', TIMEOUT, async (t) => {
  await using server = await startPostgres();
  const recorder = await openPostgresRecorder(placeOfUrl(server.url), { runtime }, { signal: t.signal });
  await recorder[Symbol.asyncDispose]();
  await assert.rejects(headOf(recorder, t), tells('STORE_UNREACHABLE', /not recorded any more/));
  const ours = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'tidemark%'";
  while ((await server.value(ours)) !== '0') await runtime.clock.sleep(20, { signal: t.signal });
});

test('a recorder that is closed while it connects again leaves no connection', TIMEOUT, async (t) => {
  await using server = await startPostgres();
  await using proxy = await startProxy({ toPort: server.port });
  const run = { signal: t.signal };
  const recorder = await openPostgresRecorder(placeOfUrl(urlOf(proxy.port)), { runtime }, run);
  proxy.cut();
  await assert.rejects(headOf(recorder, t), tells('STORE_UNREACHABLE', /127\.0\.0\.1/));
  await waitUntil('the connection is closed', () => proxy.connections === 0);
  const asking = assert.rejects(headOf(recorder, t), tells('STORE_UNREACHABLE', /not recorded any more/));
  // Over the second one it asks whether the server is the same.
  while (proxy.connections < 2) await nextTurn();
  proxy.pause();
  await recorder[Symbol.asyncDispose]();
  proxy.resume();
  await asking;
  await waitUntil('all connections are closed', () => proxy.connections === 0);
});

test('who stops waiting is let go at once, also by a server that stands still', TIMEOUT, async (t) => {
  await using server = await startPostgres();
  const stop = new AbortController();
  const run = { signal: AbortSignal.any([t.signal, stop.signal]) };
  await using recorder = await openPostgresRecorder(placeOfUrl(server.url), { runtime }, { signal: t.signal });
  await server.pause();
  const reason = new Error('stopped by the test');
  const asking = must(recorder.head, 'a head').call(recorder, run);
  const opening = openPostgresRecorder(placeOfUrl(server.url), { runtime }, run);
  setImmediate(() => stop.abort(reason));
  await assert.rejects(asking, (error) => error === reason);
  await assert.rejects(opening, (error) => error === reason);
  await server.resume();
});

test('TLS proves who the server is, a password who we are', TIMEOUT, async (t) => {
  using certificates = await makeCertificates();
  const hba = 'hostssl all all 127.0.0.1/32 scram-sha-256\nhostssl replication all 127.0.0.1/32 scram-sha-256';
  await using server = await startPostgres({ hba, tls: { certificates } });
  await server.query("CREATE ROLE backup LOGIN REPLICATION PASSWORD 'right one'; GRANT pg_monitor TO backup");
  const attempt = async (more: string, { password, options }: PlaceOptions): Promise<void> => {
    const url = `postgres://backup@localhost:${server.port}/postgres${more}`;
    await using recorder = await openPostgresRecorder(
      placeOfUrl(url, { ...(password && { password }), options: options ?? {} }),
      { runtime },
      { signal: t.signal },
    );
    await using base = await recorder.openBase({ signal: t.signal });
    for await (const _ of base.entries) break;
    await headOf(recorder, t);
  };
  const right = { password: 'right one', options: { caFile: certificates.ca } };
  await attempt('?sslmode=verify-full', right);
  await attempt('?sslmode=verify-ca', right);
  await attempt('?sslmode=require', { password: 'right one' });
  await assert.rejects(attempt('', right), tells('STORE_UNREACHABLE', /refuses/));
  await assert.rejects(
    attempt('?sslmode=verify-full', { ...right, options: { caFile: certificates.wrongCa } }),
    tells('STORE_UNREACHABLE', /can’t prove who it is/),
  );
  await assert.rejects(
    attempt('?sslmode=verify-full', { password: 'right one' }),
    tells('STORE_UNREACHABLE', /can’t prove who it is/),
  );
  await assert.rejects(
    attempt('?sslmode=verify-full', { ...right, password: 'wrong one' }),
    tells('STORE_UNREACHABLE', /refuses/),
  );
  await assert.rejects(
    attempt('?sslmode=verify-full', { options: { caFile: certificates.ca } }),
    tells('STORE_UNREACHABLE', /asks for a password/),
  );
  await assert.rejects(
    attempt('?sslmode=verify-full', { ...right, options: { caFile: '/nowhere.pem' } }),
    tells('STORE_UNREACHABLE', /nowhere.pem can’t be read/),
  );
});

test('a certificate for another name is refused unless only its authority counts', TIMEOUT, async (t) => {
  using certificates = await makeCertificates();
  await using server = await startPostgres({ tls: { certificates, server: certificates.wrongName } });
  const open = async (mode: string): Promise<void> => {
    const place = placeOfUrl(urlOf(server.port, `?sslmode=${mode}`), { options: { caFile: certificates.ca } });
    await using _ = await openPostgresRecorder(place, { runtime }, { signal: t.signal });
  };
  await open('verify-ca');
  await assert.rejects(open('verify-full'), tells('STORE_UNREACHABLE', /can’t prove who it is/));
});

test('a client certificate is shown where the server asks for one', TIMEOUT, async (t) => {
  using certificates = await makeCertificates();
  const hba = 'hostssl all all 127.0.0.1/32 cert\nhostssl replication all 127.0.0.1/32 cert';
  await using server = await startPostgres({ hba, tls: { certificates } });
  await server.query('CREATE ROLE backup LOGIN REPLICATION');
  const url = `postgres://backup@localhost:${server.port}/postgres?sslmode=verify-full`;
  const { cert: certFile, key: keyFile } = certificates.client;
  const options = { caFile: certificates.ca, certFile, keyFile };
  await using recorder = await openPostgresRecorder(placeOfUrl(url, { options }), { runtime }, { signal: t.signal });
  await headOf(recorder, t);
  const without = placeOfUrl(url, { options: { caFile: certificates.ca } });
  await assert.rejects(
    openPostgresRecorder(without, { runtime }, { signal: t.signal }),
    tells('STORE_UNREACHABLE', /certificate/),
  );
});
