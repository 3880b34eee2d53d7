import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chownSync, existsSync, lstatSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { encodeAttributes } from '../../src/connectors/postgres/attributes.ts';
import { openPostgresRecorder } from '../../src/connectors/postgres/recorder.ts';
import { parseLsn, positionOf } from '../../src/connectors/postgres/lsn.ts';
import { readerOf } from '../../src/core/byte-reader.ts';
import { compareBytes } from '../../src/core/bytes.ts';
import { must } from '../../src/core/must.ts';
import type { Position } from '../../src/core/position.ts';
import type { Base, Entry, Recorder } from '../../src/core/recorder.ts';
import type { Run } from '../../src/core/run.ts';
import { temporaryFolder } from '../../src/testing/tree/temporary-folder.ts';
import { placeOfUrl, Recording, runtime } from '../engines/postgres/recording.ts';
import { kit } from '../golden/restore-moments.ts';
import { promote, serverOwner, startPostgres, untilCaughtUp } from '../servers/postgres.ts';
import type { PostgresServer } from '../servers/postgres.ts';
import { needsPostgres } from '../servers/postgres-binaries.ts';
import type { PostgresVersion } from '../servers/postgres-binaries.ts';
import { behind, EngineRepository, upTo } from './engine-repository.ts';

const VERSIONS: readonly PostgresVersion[] =
  process.env['TIDEMARK_TEST_LEVEL'] === 'full' ? ['13', '14', '15', '16', '17', '18'] : ['15'];
const NEEDED = { ...needsPostgres(), timeout: 300_000 };

/** What the tests compare: the numbers that a table holds, one a transaction. */
async function numbersIn(server: PostgresServer): Promise<string> {
  return await server.value("SELECT count(*) || '/' || coalesce(max(n), 0) FROM stamps");
}

/** Does what the kit says, but that the socket lies elsewhere. */
async function startedOn(folder: string, options: { readonly hba?: string } = {}): Promise<PostgresServer> {
  const owner = serverOwner();
  if (owner) execFileSync('chown', ['-R', `${owner.uid}:${owner.gid}`, folder]);
  return await startPostgres({ folder, ...options });
}

async function headOf(recorder: Recorder, run: Run): Promise<Position> {
  return await must(recorder.head, 'a head').call(recorder, run);
}

function ownFolder() {
  const folder = temporaryFolder();
  const owner = serverOwner();
  if (owner) chownSync(folder.path, owner.uid, owner.gid);
  return folder;
}

async function restoresEachByte(version: PostgresVersion, t: TestContext): Promise<void> {
  const run = { signal: t.signal };
  await using out = ownFolder();
  await using server = await startPostgres({ version });
  const owner = serverOwner();
  for (const name of ['early', 'late']) {
    mkdirSync(out.at(name));
    if (owner) chownSync(out.at(name), owner.uid, owner.gid);
  }
  await server.query(`CREATE TABLESPACE early LOCATION '${out.at('early')}'`);
  await server.query('CREATE TABLE stamps (n int PRIMARY KEY, filler text)');
  await server.query('CREATE TABLE apart (n int) TABLESPACE early; INSERT INTO apart VALUES (1)');
  const stateFolder = out.at('state');
  await using recorder = await openPostgresRecorder(placeOfUrl(server.url), { runtime, stateFolder }, run);
  const from = await must(recorder.begin, 'a beginning').call(recorder, run);
  await using recording = await Recording.open(recorder, from, run);
  await using repository = await EngineRepository.create('postgres');
  let stamps = 0;
  const stamp = async (count: number): Promise<void> => {
    for (const upTo = stamps + count; stamps < upTo; ) {
      stamps += 1;
      await server.query(`INSERT INTO stamps VALUES (${stamps}, repeat('x', ${(stamps * 379) % 5000}))`);
    }
  };
  await stamp(20);
  {
    await using base = await recorder.openBase(run);
    const busy = stamp(20);
    await repository.base(base);
    await busy;
  }
  const moments: { readonly position: Position; readonly told: string; readonly apart: string }[] = [];
  const remember = async (apart = '1'): Promise<void> => {
    const position = await headOf(recorder, run);
    const told = await numbersIn(server);
    await recording.reaches(position);
    moments.push({ position, told, apart });
  };
  await remember();
  await stamp(50);
  await remember();
  await server.query(`CREATE TABLESPACE late LOCATION '${out.at('late')}'`);
  await server.query('ALTER TABLE apart SET TABLESPACE late; INSERT INTO apart VALUES (2)');
  await server.query('SELECT pg_switch_wal()');
  await stamp(100);
  await remember('2');
  // One within the record of a transaction's end, and so before it.
  const before = must(moments.at(-1), 'a moment');
  await stamp(1);
  const committed = await headOf(recorder, run);
  await recording.reaches(committed);
  const lsn = BigInt(committed.order) - 9n;
  moments.push({ ...before, position: positionOf({ timeline: 1, lsn }, committed.lineage) });
  await server.query('INSERT INTO stamps SELECT generate_series(1000, 100000)');
  await remember('2');
  const end = must(moments.at(-1), 'the end').position;
  const middle = must(moments[1], 'a moment').position;
  await repository.log(from, upTo(recording.pieces, middle));
  await repository.log(middle, upTo(behind(recording.pieces, middle), end));
  const ids: string[] = [];
  for (const { position } of moments) ids.push(await repository.mark(position));
  const path = out.at('repository');
  await repository.export(path);
  await server.stop();

  for (const [index, { position, told, apart }] of moments.entries()) {
    const id = must(ids[index], 'a mark');
    const folder = out.at(`restored-${index}`);
    const ended = kit('restore', path, id, folder);
    assert.equal(ended.status, 0, ended.err);
    assert.match(ended.err, /main: first give it to the user who runs the server: chown -R postgres:postgres \S+\n/);
    await using restored = await startedOn(join(folder, 'main'));
    assert.equal(await numbersIn(restored), told, position.resume);
    assert.equal(await restored.value('SELECT count(*) FROM apart'), apart);
    assert.equal(await restored.value('SELECT pg_is_in_recovery()'), 'false');
    await restored.query("INSERT INTO stamps VALUES (0, 'it goes on')");
    assert.ok(!existsSync(join(folder, 'main', 'recovery.signal')));
    for (const name of readdirSync(join(folder, 'main', 'pg_tblspc'))) {
      assert.ok(lstatSync(join(folder, 'main', 'pg_tblspc', name)).isDirectory());
    }
  }

  const listed = kit('ls', path, 'latest', 'main', 'global/pg_c');
  assert.match(listed.out, /^ +8192 global\/pg_control {2}file {4}0600 {2}20\S+Z\n$/);
  assert.match(kit('list', path).out, /postgres, and 2 segments of its log up to 1\/0\/[0-9A-F]+\n/);
  const verified = kit('verify', path);
  assert.deepEqual([verified.status, verified.err], [0, '']);
  const bodies = readdirSync(join(path, 'logs'), { recursive: true, withFileTypes: true });
  for (const body of bodies) if (body.isFile()) rmSync(join(body.parentPath, body.name));
  const lost = kit('restore', path, 'latest', out.at('lost'));
  assert.equal(lost.status, 5);
  assert.ok(!existsSync(out.at('lost', 'main')));
}

for (const version of VERSIONS) {
  const needed = { ...needsPostgres(version), timeout: 300_000 };
  test(
    `the kit brings PostgreSQL ${version} to each byte of its log, in a data directory on which it starts`,
    needed,
    (t) => restoresEachByte(version, t),
  );
}

test(
  'the kit follows PostgreSQL over a change of the timeline, from bases before it and after it',
  NEEDED,
  async (t) => {
    const run = { signal: t.signal };
    await using out = ownFolder();
    await using primary = await startPostgres({ settings: { wal_keep_size: '1GB' } });
    await using standby = await startPostgres({ standbyOf: { primary } });
    await using repository = await EngineRepository.create('postgres');
    const url = `postgres://postgres@127.0.0.1:${primary.port},127.0.0.1:${standby.port}/postgres`;
    const place = placeOfUrl(url);
    const stateFolder = out.at('state');
    await primary.query('CREATE TABLE stamps (n int PRIMARY KEY, filler text)');
    const moments: { readonly position: Position; readonly told: string }[] = [];
    let after: Position;
    {
      await using recorder = await openPostgresRecorder(place, { runtime, stateFolder }, run);
      const from = await must(recorder.begin, 'a beginning').call(recorder, run);
      await using recording = await Recording.open(recorder, from, run);
      await using base = await recorder.openBase(run);
      await repository.base(base);
      await primary.query('INSERT INTO stamps SELECT generate_series(1, 1000)');
      const head = await headOf(recorder, run);
      await recording.reaches(head);
      moments.push({ position: head, told: await numbersIn(primary) });
      after = recording.last;
      await repository.log(from, upTo(recording.pieces, after));
    }
    await primary.query('INSERT INTO stamps SELECT generate_series(1001, 2000)');
    await untilCaughtUp(standby, primary);
    await primary.kill();
    await promote(standby);
    await standby.query('INSERT INTO stamps SELECT generate_series(2001, 3000)');
    {
      await using recorder = await openPostgresRecorder(place, { runtime, stateFolder, previous: after }, run);
      await using recording = await Recording.open(recorder, after, run);
      const remember = async (): Promise<void> => {
        const position = await headOf(recorder, run);
        await recording.reaches(position);
        moments.push({ position, told: await numbersIn(standby) });
      };
      await remember();
      await using base = await recorder.openBase(run);
      await repository.base(base);
      await standby.query('INSERT INTO stamps SELECT generate_series(3001, 4000)');
      await remember();
      const [switched] = recording.pieces.filter(({ commit }) => commit?.position.resume.startsWith('2/') === true);
      assert.ok(switched !== undefined);
      await repository.log(after, upTo(recording.pieces, recording.last));
    }
    await standby.stop();
    const ids: string[] = [];
    for (const { position } of moments) ids.push(await repository.mark(position));
    const path = out.at('repository');
    await repository.export(path);
    for (const [index, { position, told }] of moments.entries()) {
      const folder = out.at(`restored-${index}`);
      const ended = kit('restore', path, must(ids[index], 'a mark'), folder);
      assert.equal(ended.status, 0, ended.err);
      await using restored = await startedOn(join(folder, 'main'));
      assert.equal(await numbersIn(restored), told, position.resume);
      const [timeline] = position.resume.split('/');
      assert.equal(
        await restored.value('SELECT timeline_id FROM pg_control_checkpoint()'),
        String(Number(timeline) + 1),
      );
    }
    assert.equal(kit('verify', path).status, 0);
  },
);

/** A base that stands alone, of what PostgreSQL's own program wrote with the log that it needs. */
function standaloneBase(folder: string, lineage: string): Base & { readonly cut: Position } {
  const [, lsn = ''] = /"End-LSN": "([^"]+)"/.exec(readFileSync(join(folder, 'backup_manifest'), 'utf8')) ?? [];
  const cut = positionOf({ timeline: 1, lsn: must(parseLsn(lsn), 'the end') }, lineage);
  const paths = readdirSync(folder, { recursive: true, encoding: 'utf8' }).toSorted((a, b) =>
    compareBytes(Buffer.from(a), Buffer.from(b)),
  );
  // As with Debian, its settings lie elsewhere.
  const kept = paths.filter((path) => !['postgresql.conf', 'pg_hba.conf', 'pg_ident.conf'].includes(path));
  const entries = kept.map((path): Entry => {
    const stat = statSync(join(folder, path));
    const type = stat.isDirectory() ? 'folder' : 'file';
    const sizeBytes = stat.isDirectory() ? 0 : stat.size;
    const attributes = encodeAttributes({
      type,
      mode: stat.mode & 0o777,
      sizeBytes,
      mtimeS: Math.floor(stat.mtimeMs / 1000),
    });
    const open = async () => readerOf(readFileSync(join(folder, path)));
    return {
      name: Buffer.from(path),
      estimatedBytes: sizeBytes,
      describe: () =>
        type === 'folder' ? { attributes } : { attributes, content: { kind: 'reader', cut: 'pages', open } },
    };
  });
  return {
    cut,
    entries: (async function* () {
      yield entries;
    })(),
    retry: async () => undefined,
    finish: async () => ({ logFrom: cut, cut, skipped: [], skippedCount: 0, incompleteCount: 0 }),
    [Symbol.asyncDispose]: async () => undefined,
  };
}

test(
  'a base of PostgreSQL that holds its own log is restored to where it ends, and from there on',
  NEEDED,
  async (t) => {
    const run = { signal: t.signal };
    await using out = ownFolder();
    await using server = await startPostgres();
    await server.query('CREATE TABLE stamps (n int PRIMARY KEY, filler text)');
    await using recorder = await openPostgresRecorder(placeOfUrl(server.url), { runtime }, run);
    const from = await must(recorder.begin, 'a beginning').call(recorder, run);
    await using recording = await Recording.open(recorder, from, run);
    await using repository = await EngineRepository.create('postgres');
    await server.query('INSERT INTO stamps SELECT generate_series(1, 1000)');
    let isBusy = true;
    const busy = (async () => {
      for (let n = 1001; isBusy; n++) await server.query(`INSERT INTO stamps VALUES (${n})`);
    })();
    await server.runClient('pg_basebackup', ['-D', out.at('taken'), '-Fp', '-X', 'fetch', '-c', 'fast']);
    isBusy = false;
    await busy;
    const base = standaloneBase(out.at('taken'), recorder.lineage.id);
    await repository.base(base);
    await server.query('INSERT INTO stamps SELECT generate_series(100000, 150000)');
    const head = await headOf(recorder, run);
    await recording.reaches(head);
    const told = await numbersIn(server);
    await server.stop();
    await repository.log(from, upTo(recording.pieces, head));
    const marks = [await repository.mark(base.cut), await repository.mark(head)];
    const path = out.at('repository');
    await repository.export(path);
    const counts: string[] = [];
    for (const id of marks) {
      const folder = out.at(id);
      const ended = kit('restore', path, id, folder);
      assert.equal(ended.status, 0, ended.err);
      assert.match(ended.err, /main: made postgresql\.conf, of which there was none/);
      assert.equal(readFileSync(join(folder, 'main', 'pg_hba.conf'), 'utf8').split('\n')[1], 'local all all peer');
      await using restored = await startedOn(join(folder, 'main'), { hba: '' });
      assert.match(restored.log(), /archive recovery complete/);
      counts.push(await numbersIn(restored));
      const ends = /redo done at (\S+)/.exec(restored.log()) ?? [];
      assert.ok(must(parseLsn(ends[1] ?? ''), 'its end') < BigInt(id === marks[0] ? base.cut.order : head.order));
    }
    assert.match(counts[0] ?? '', /^1\d\d\d\//);
    assert.equal(counts[1], told);
  },
);
