import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  chownSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
  writeSync,
  closeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { test } from 'node:test';
import { must } from '../../../src/core/must.ts';
import type { Base, BaseEnd } from '../../../src/core/recorder.ts';
import type { Run } from '../../../src/core/run.ts';
import { decodeAttributes } from '../../../src/connectors/postgres/attributes.ts';
import { openPostgresRecorder } from '../../../src/connectors/postgres/recorder.ts';
import { temporaryFolder } from '../../../src/testing/tree/temporary-folder.ts';
import { serverOwner, startPostgres } from '../../servers/postgres.ts';
import { needsPostgres } from '../../servers/postgres-binaries.ts';
import { placeOfUrl, Recording, runtime, tells, writeWal } from './recording.ts';

const TIMEOUT = { timeout: 120_000 };

type Folder = Disposable & { readonly path: string };

function serverFolder(): Folder {
  const path = mkdtempSync(join(tmpdir(), 'tidemark-test-pg-'));
  own(path);
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) };
}

function own(path: string): void {
  const owner = serverOwner();
  if (owner) chownSync(path, owner.uid, owner.gid);
}

type Written = BaseEnd & { readonly contents: ReadonlyMap<string, 'pages' | 'stream'> };

/** As simple as a restore can be. */
async function writeBase(base: Base, folder: string, run: Run): Promise<Written> {
  const contents = new Map<string, 'pages' | 'stream'>();
  const buffer = Buffer.alloc(100_000);
  assert.equal(base.order, 'arrival');
  for await (const batch of base.entries) {
    assert.equal(batch.length, 1);
    const entry = must(batch[0], 'an entry');
    const { attributes, content } = entry.describe();
    const { type, mode, sizeBytes } = decodeAttributes(attributes);
    const name = Buffer.from(entry.name).toString();
    const path = join(folder, name);
    mkdirSync(type === 'folder' ? path : dirname(path), { recursive: true, mode: 0o700 });
    if (type === 'folder') continue;
    writeFileSync(path, '', { mode });
    let written = 0;
    if (content?.kind === 'reader') {
      contents.set(name, content.cut);
      await using reader = await content.open(run);
      const file = openSync(path, 'w');
      for (let count = await reader.read(buffer); count > 0; count = await reader.read(buffer)) {
        writeSync(file, buffer, 0, count);
        written += count;
      }
      closeSync(file);
    }
    if (name !== 'backup_manifest') assert.equal(written, sizeBytes, name);
  }
  return { ...(await base.finish(run)), contents };
}

function give(folder: string): void {
  const owner = serverOwner();
  if (owner) execFileSync('chown', ['-R', `${owner.uid}:${owner.gid}`, folder]);
  execFileSync('chmod', ['-R', 'g-rwx,o-rwx', folder]);
}

for (const version of ['13', '14', '15', '16', '17', '18'] as const) {
  const options = { ...TIMEOUT, ...needsPostgres(version) };
  test(
    `PostgreSQL ${version}: a base and the log up to a head make a server that has what was committed, and no more`,
    options,
    async (t) => {
      await using server = await startPostgres({ version, initdb: ['--data-checksums'] });
      using tablespace = serverFolder();
      using restored = serverFolder();
      const run = { signal: t.signal };
      await server.query(`CREATE TABLESPACE other LOCATION '${tablespace.path}'`);
      await server.query('CREATE TABLE t (n int)');
      await server.query('CREATE TABLE there (n int) TABLESPACE other');
      await server.query('CREATE UNLOGGED TABLE fleeting (n int)');
      await server.query('INSERT INTO there SELECT generate_series(1, 1000)');
      await using state = temporaryFolder();
      const context = { runtime, stateFolder: state.path };
      await using recorder = await openPostgresRecorder(placeOfUrl(server.url), context, run);
      await using recording = await Recording.open(
        recorder,
        await must(recorder.begin, 'a begin').call(recorder, run),
        run,
      );
      let number = 0;
      const busy = new AbortController();
      const writing = (async () => {
        while (!busy.signal.aborted) await server.query(`INSERT INTO t VALUES (${++number})`);
      })();
      // What ends the test first is what counts.
      writing.catch(() => undefined);
      await using base = await recorder.openBase(run);
      const written = await writeBase(base, restored.path, run);
      assert.equal(written.cut.lineage, recorder.lineage.id);
      assert.ok(written.logFrom.order < written.cut.order);
      assert.ok(written.logFrom.order >= recording.from.order);
      assert.equal(written.incompleteCount, 0);
      const oid = await server.value("SELECT oid FROM pg_tablespace WHERE spcname = 'other'");
      const at = await server.value("SELECT pg_relation_filepath('there')");
      assert.equal(written.contents.get(at), 'pages');
      assert.equal(written.contents.get('backup_label'), 'stream');
      assert.ok(readFileSync(join(restored.path, 'tablespace_map'), 'utf8').includes(`${oid} ${tablespace.path}`));
      busy.abort();
      await writing;
      const committed = number;
      const head = await must(recorder.head, 'a head').call(recorder, run);
      await server.query('INSERT INTO t SELECT generate_series(100000, 100100)');
      await recording.reaches(await must(recorder.head, 'a head').call(recorder, run));
      recording.acknowledge();
      await server.stop();
      // The map names the tablespace's own place, so what was there makes way for what was restored.
      rmSync(tablespace.path, { recursive: true });
      execFileSync('mv', [join(restored.path, 'pg_tblspc', oid), tablespace.path]);
      give(tablespace.path);
      writeWal(recording, restored.path, head.order);
      give(restored.path);
      await using copy = await startPostgres({ folder: restored.path, version });
      assert.equal(await copy.value('SELECT count(*) FROM t'), String(committed));
      assert.equal(await copy.value('SELECT max(n) FROM t'), String(committed));
      assert.equal(await copy.value('SELECT count(*) FROM there'), '1000');
      assert.equal(await copy.value('SELECT count(*) FROM fleeting'), '0');
    },
  );
}

test('what the server leaves out of a base is told, and makes it incomplete where it is data', TIMEOUT, async () => {
  await using server = await startPostgres();
  using folder = serverFolder();
  await server.query('CREATE TABLE t (n int); CHECKPOINT');
  const table = await server.value("SELECT pg_relation_filepath('t')");
  await server.stop();
  for (const name of [table, 'pg_ident.conf']) {
    const elsewhere = join(folder.path, basename(name));
    renameSync(join(server.folder, name), elsewhere);
    symlinkSync(elsewhere, join(server.folder, name));
  }
  await server.start();
  const run = { signal: new AbortController().signal };
  await using recorder = await openPostgresRecorder(placeOfUrl(server.url), { runtime }, run);
  await using base = await recorder.openBase(run);
  const { skipped, skippedCount, incompleteCount } = await writeBase(base, join(folder.path, 'base'), run);
  assert.deepEqual([skippedCount, incompleteCount], [2, 1]);
  const told = skipped.map(({ name, incomplete }) => [Buffer.from(name).toString(), incomplete]);
  assert.deepEqual(
    new Map(told as [string, boolean][]),
    new Map([
      [table, true],
      ['pg_ident.conf', false],
    ]),
  );
});

test('a page whose checksum is wrong fails the base, by the name of its file', TIMEOUT, async (t) => {
  await using server = await startPostgres({ initdb: ['--data-checksums'] });
  const run = { signal: t.signal };
  await server.query('CREATE TABLE t AS SELECT generate_series(1, 10000) AS n');
  const path = await server.value("SELECT pg_relation_filepath('t')");
  await server.stop();
  const file = openSync(join(server.folder, path), 'r+');
  writeSync(file, Buffer.from([1, 2, 3, 4]), 0, 4, 8192 + 4000);
  closeSync(file);
  await server.start();
  using folder = serverFolder();
  await using recorder = await openPostgresRecorder(placeOfUrl(server.url), { runtime }, run);
  await using base = await recorder.openBase(run);
  await assert.rejects(
    writeBase(base, folder.path, run),
    tells('STORE_UNREACHABLE', new RegExp(`damaged data: .*${path}`)),
  );
});

test('a base that is left ends at the server, and one without its entries is none', TIMEOUT, async (t) => {
  await using server = await startPostgres();
  const run = { signal: t.signal };
  await server.query('CREATE TABLE t AS SELECT n, repeat(md5(n::text), 30) AS words FROM generate_series(1, 30000) n');
  await using recorder = await openPostgresRecorder(placeOfUrl(server.url), { runtime }, run);
  {
    await using base = await recorder.openBase(run);
    await assert.rejects(base.finish(run));
    for await (const _ of base.entries) break;
    assert.equal(await server.value('SELECT count(*) FROM pg_stat_replication'), '1');
  }
  while ((await server.value('SELECT count(*) FROM pg_stat_replication')) !== '0');
  using folder = serverFolder();
  await using base = await recorder.openBase(run);
  await writeBase(base, folder.path, run);
});
