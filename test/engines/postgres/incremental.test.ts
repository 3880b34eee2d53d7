import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chownSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { askBackupSettings, findEarlierBackup } from '../../../src/connectors/postgres/base/earlier-backup.ts';
import { openPostgresRecorder } from '../../../src/connectors/postgres/recorder.ts';
import { connectSql } from '../../../src/connectors/postgres/connection.ts';
import { must } from '../../../src/core/must.ts';
import { createSeededRandom } from '../../../src/flow/random.ts';
import type { SeededRandom } from '../../../src/flow/random.ts';
import { memoryContent, memoryReader } from '../../../src/testing/tree/memory-base.ts';
import { temporaryFolder } from '../../../src/testing/tree/temporary-folder.ts';
import { serverOwner, startPostgres } from '../../servers/postgres.ts';
import type { PostgresServer } from '../../servers/postgres.ts';
import { needsPostgres } from '../../servers/postgres-binaries.ts';
import { placeOfUrl, Recording, runtime, writeWal } from './recording.ts';
import { assertAsOnServer, RepeatedBases, tablesOf, verifyManifest, writeFiles } from './repeated-base.ts';
import type { RepeatedBase } from './repeated-base.ts';

const TIMEOUT = { timeout: 240_000 };
const MIB = 1024 * 1024;
const isFull = process.env['TIDEMARK_TEST_LEVEL'] === 'full';
const ROUNDS = isFull ? 40 : 4;
const BUSY_ROUNDS = isFull ? 4 : 2;
/** Small files of the log, which a base has with it. */
const INITDB = ['--data-checksums', '--wal-segsize=1'];
const SETTINGS = { summarize_wal: 'on', autovacuum: 'off', allow_in_place_tablespaces: 'on' };

type Folder = Disposable & { readonly path: string };

function serverFolder(): Folder {
  const path = mkdtempSync(join(tmpdir(), 'tidemark-test-pg-'));
  const owner = serverOwner();
  if (owner) chownSync(path, owner.uid, owner.gid);
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) };
}

/** Its tables are those of the server that it was taken from, and it holds no part of a file for a file. */
async function assertRestores(bases: RepeatedBases, base: RepeatedBase, server: PostgresServer): Promise<void> {
  const files = await bases.files(base);
  assert.deepEqual(
    [...files.keys()].filter((name) => name.includes('INCREMENTAL')),
    [],
  );
  using folder = serverFolder();
  writeFiles(files, folder.path);
  const expected = await tablesOf(server);
  await using restored = await startPostgres({ folder: folder.path, version: server.version, settings: SETTINGS });
  assert.deepEqual(await tablesOf(restored), expected);
}

for (const version of ['17', '18'] as const) {
  test(`PostgreSQL ${version}: of a second base only what has changed comes, and it restores to what the server has`, {
    ...TIMEOUT,
    ...needsPostgres(version),
  }, async () => {
    await using server = await startPostgres({ version, settings: SETTINGS, initdb: INITDB });
    await using bases = await RepeatedBases.create();
    using tablespace = serverFolder();
    await server.query(
      'CREATE TABLE large AS SELECT n, repeat(md5(n::text), 10) AS words FROM generate_series(1, 100000) n',
    );
    await server.query(
      'CREATE TABLE short AS SELECT n, repeat(md5(n::text), 10) AS words FROM generate_series(1, 9000) n',
    );
    await server.query('CREATE TABLE packed AS SELECT * FROM short; CREATE TABLE emptied AS SELECT * FROM short');
    await server.query('CREATE TABLE grown AS SELECT * FROM short; CREATE TABLE dropped AS SELECT * FROM short');
    await server.query('CREATE UNLOGGED TABLE fleeting AS SELECT * FROM short; CREATE INDEX ON large (n); ANALYZE');
    await server.query('CHECKPOINT');
    const first = await bases.take(server);
    assert.deepEqual(first.warnings, []);
    await server.query(
      'UPDATE large SET n = -n WHERE n % 20000 = 0; INSERT INTO grown SELECT * FROM large LIMIT 20000',
    );
    await server.query('DELETE FROM short WHERE n > 3000');
    await server.query('VACUUM short');
    await server.query('DELETE FROM packed WHERE n % 2 = 0');
    await server.query('VACUUM FULL packed');
    await server.query('TRUNCATE emptied; DROP TABLE dropped; CREATE TABLE fresh AS SELECT * FROM short');
    await server.query(`CREATE TABLESPACE other LOCATION '${tablespace.path}'`);
    await server.query('CREATE TABLE there TABLESPACE other AS SELECT * FROM short');
    await server.query('CREATE DATABASE another');
    const second = await bases.take(server);
    assert.deepEqual(second.warnings, []);
    assert.ok(second.sentBytes < first.sentBytes / 3, `${second.sentBytes} bytes instead of ${first.sentBytes}`);
    await server.query('CHECKPOINT');
    const files = await bases.files(second);
    assertAsOnServer(files, server, 'the second base');
    const summed = verifyManifest(files);
    const count = [...files.keys()].length;
    assert.ok(summed > count * 0.8, `${summed} of ${count} files have a checksum`);
    await assertRestores(bases, second, server);
    assert.ok(files.has(await server.value("SELECT pg_relation_filepath('fleeting') || '_init'")));
    await server.query('UPDATE there SET n = -n WHERE n % 500 = 0; INSERT INTO short SELECT * FROM large LIMIT 9000');
    const third = await bases.take(server);
    assert.deepEqual(third.warnings, []);
    assert.ok(third.sentBytes < first.sentBytes / 3, `${third.sentBytes} bytes instead of ${first.sentBytes}`);
    verifyManifest(await bases.files(third));
    await assertRestores(bases, third, server);
    const whole = await bases.take(server, { isWhole: true });
    assert.ok(whole.sentBytes > first.sentBytes, 'without an earlier one all of it comes');
    assert.ok(whole.written.stored.newBytes < 4 * MIB, 'nearly all of which is there');
  });
}

type Edit = (server: PostgresServer, random: SeededRandom) => Promise<unknown>;

const TABLES = 5;
const ROWS = 20_000;

const some = (random: SeededRandom): string => `t${random.integer(TABLES)}`;

const EDITS: readonly Edit[] = [
  (server, random) =>
    server.query(
      `INSERT INTO ${some(random)} SELECT n, repeat(md5(random()::text), 5) FROM generate_series(1, ${random.integer(ROWS)}) n`,
    ),
  (server, random) => server.query(`UPDATE ${some(random)} SET n = n + 1 WHERE n % ${1 + random.integer(1_000)} = 7`),
  (server, random) => server.query(`DELETE FROM ${some(random)} WHERE n % ${2 + random.integer(10)} = 1`),
  async (server, random) => {
    const table = some(random);
    // What is freed at its end is cut off.
    await server.query(`DELETE FROM ${table} WHERE ctid > '(${random.integer(300)},0)'`);
    await server.query(`VACUUM ${table}`);
  },
  (server, random) => server.query(`VACUUM FULL ${some(random)}`),
  (server, random) => server.query(`TRUNCATE ${some(random)}`),
  (server, random) => server.query(`REINDEX TABLE ${some(random)}`),
  async (server, random) => {
    const table = some(random);
    await server.query(
      `DROP TABLE ${table}; CREATE TABLE ${table} (n int PRIMARY KEY GENERATED ALWAYS AS IDENTITY, w text)`,
    );
    await server.query(`DROP TABLE ${table}; CREATE TABLE ${table} (n int, words text); CREATE INDEX ON ${table} (n)`);
  },
  (server) => server.query('BEGIN; CREATE TABLE never AS SELECT * FROM t0; ROLLBACK'),
  (server) => server.query('CHECKPOINT'),
  async (server) => {
    await server.kill();
    await server.start();
  },
  (server) => server.restart(),
];

test('whatever happens between two bases, each is what the server has on its disk, and restores to it', {
  timeout: ROUNDS * 60_000,
  ...needsPostgres('17'),
}, async () => {
  const seed = Math.floor(Math.random() * 1e9);
  const random = createSeededRandom(seed);
  await using server = await startPostgres({ version: '17', settings: SETTINGS, initdb: INITDB });
  await using bases = await RepeatedBases.create();
  for (let index = 0; index < TABLES; index++) {
    await server.query(`CREATE TABLE t${index} (n int, words text); CREATE INDEX ON t${index} (n)`);
  }
  for (let round = 0; round <= ROUNDS; round++) {
    for (let count = random.integer(8); count >= 0; count--) {
      await (EDITS[random.integer(EDITS.length)] as Edit)(server, random);
    }
    const about = `seed ${seed}, round ${round}`;
    const base = await bases.take(server);
    assert.deepEqual(base.warnings, [], about);
    await server.query('CHECKPOINT');
    const files = await bases.files(base);
    assertAsOnServer(files, server, about);
    verifyManifest(files);
    if (round % 2 === 0) await assertRestores(bases, base, server);
  }
});

test('a base that is taken while rows are written restores to rows that were committed, without a hole', {
  ...TIMEOUT,
  ...needsPostgres('17'),
}, async () => {
  await using server = await startPostgres({ version: '17', settings: SETTINGS, initdb: INITDB });
  await using bases = await RepeatedBases.create();
  await server.query(
    "CREATE TABLE stamps (n int); CREATE TABLE hot AS SELECT n, '' AS words FROM generate_series(1, 50000) n",
  );
  await server.query('CREATE INDEX ON hot (n)');
  let number = 0;
  const busy = new AbortController();
  const writing = (async () => {
    while (!busy.signal.aborted) {
      number++;
      await server.query(
        `INSERT INTO stamps VALUES (${number}); UPDATE hot SET words = words || n WHERE n % 997 = ${number % 997}`,
      );
      if (number % 20 === 0) await server.query('VACUUM hot');
    }
  })();
  writing.catch(() => undefined);
  await bases.take(server);
  for (let round = 0; round < BUSY_ROUNDS; round++) {
    const before = number - 1;
    const base = await bases.take(server);
    assert.deepEqual(base.warnings, []);
    const files = await bases.files(base);
    using folder = serverFolder();
    writeFiles(files, folder.path);
    await using restored = await startPostgres({ folder: folder.path, version: '17' });
    const [count, most] = [
      await restored.value('SELECT count(*) FROM stamps'),
      await restored.value('SELECT max(n) FROM stamps'),
    ];
    assert.equal(count, most);
    assert.ok(Number(count) >= before, `${count} rows, of which ${before} were there before the base`);
    const scan = 'SET enable_indexscan = off; SET enable_bitmapscan = off; SET enable_indexonlyscan = off';
    const byIndex = 'SET enable_seqscan = off';
    const sum = 'SELECT count(*) FROM hot WHERE n > 0';
    assert.equal(await restored.value(`${scan}; ${sum}`), '50000');
    assert.equal(await restored.value(`${byIndex}; ${sum}`), '50000');
  }
  busy.abort();
  await writing;
});

test('beside a log that is recorded a base of changes and that log make what was committed', {
  ...TIMEOUT,
  ...needsPostgres('17'),
}, async (t) => {
  await using server = await startPostgres({ version: '17', settings: SETTINGS });
  const run = { signal: t.signal };
  await server.query('CREATE TABLE t AS SELECT n, md5(n::text) AS words FROM generate_series(1, 100000) n');
  await server.query('VACUUM');
  await using bases = await RepeatedBases.create();
  await using state = temporaryFolder();
  const context = { runtime, stateFolder: state.path };
  await using recorder = await openPostgresRecorder(placeOfUrl(server.url), context, run);
  const from = await must(recorder.begin, 'a begin').call(recorder, run);
  await using recording = await Recording.open(recorder, from, run);
  const first = await bases.takeBy(recorder);
  await server.query('UPDATE t SET words = words || n WHERE n % 3000 = 1');
  const second = await bases.takeBy(recorder);
  assert.ok(second.stored.newBytes < first.stored.newBytes / 2);
  await server.query('UPDATE t SET n = -n WHERE n % 7000 = 1; CREATE TABLE after AS SELECT 1 AS n');
  const head = await must(recorder.head, 'a head').call(recorder, run);
  const expected = await tablesOf(server);
  await recording.reaches(await must(recorder.head, 'a head').call(recorder, run));
  using folder = serverFolder();
  const files = await bases.files({ written: second });
  assert.ok(![...files.keys()].some((name) => /^pg_wal\/[0-9A-F]{24}$/.test(name)), 'the log lies beside it');
  writeFiles(files, folder.path, () => writeWal(recording, folder.path, head.order));
  await using restored = await startPostgres({ folder: folder.path, version: '17', settings: SETTINGS });
  assert.deepEqual(await tablesOf(restored), expected);
});

test('every so many bases all is read again, however often only changes were before', {
  ...TIMEOUT,
  ...needsPostgres('17'),
}, async () => {
  await using server = await startPostgres({ version: '17', settings: SETTINGS, initdb: INITDB });
  await using bases = await RepeatedBases.create();
  await server.query('CREATE TABLE t AS SELECT n, repeat(md5(n::text), 10) FROM generate_series(1, 50000) n');
  const taken: RepeatedBase[] = [];
  for (let count = 0; count < 5; count++) taken.push(await bases.take(server, { readAllEvery: 3 }));
  const [first] = taken;
  const isWhole = taken.map(({ sentBytes }) => sentBytes > (first?.sentBytes ?? 0) / 2);
  assert.deepEqual(isWhole, [true, false, false, true, false]);
  assert.deepEqual(
    taken.flatMap(({ warnings }) => warnings),
    [],
  );
});

test('where the server has no notes of what has changed since the last base, all is read, which is said', {
  ...TIMEOUT,
  ...needsPostgres('17'),
}, async () => {
  await using server = await startPostgres({ version: '17', settings: { autovacuum: 'off' }, initdb: INITDB });
  await server.query('CREATE ROLE backup LOGIN REPLICATION; GRANT pg_monitor TO backup');
  await server.query(
    'CREATE TABLE large AS SELECT n, repeat(md5(n::text), 10) AS words FROM generate_series(1, 50000) n',
  );
  await server.query('CREATE UNLOGGED TABLE fleeting (n int)');
  await using bases = await RepeatedBases.create();
  const take = (): Promise<RepeatedBase> => bases.take(server, { user: 'backup' });
  const first = await take();
  const second = await take();
  assert.deepEqual([first.warnings, second.warnings], [[], []], 'that it is off is for doctor to tell');
  // What the server has of its log must no longer reach back to that base.
  for (let count = 0; count < 3; count++) {
    await server.query('SELECT pg_switch_wal()');
    await server.query('CHECKPOINT');
  }
  await server.query('ALTER SYSTEM SET summarize_wal = on');
  await server.query('SELECT pg_reload_conf()');
  while ((await server.value('SHOW summarize_wal')) !== 'on');
  const third = await take();
  assert.match(third.warnings.join(), /all is read.*WAL summaries are required/);
  for (const { sentBytes } of [second, third]) assert.ok(sentBytes > 0.9 * first.sentBytes);
  const fourth = await take();
  assert.deepEqual(fourth.warnings, [], 'by a role without more rights');
  assert.ok(fourth.sentBytes < first.sentBytes / 4, `${fourth.sentBytes} bytes instead of ${first.sentBytes}`);
  await assertRestores(bases, fourth, server);
});

test('an older copy of a server that went on by itself is read whole', {
  ...TIMEOUT,
  ...needsPostgres('17'),
}, async () => {
  await using server = await startPostgres({ version: '17', settings: SETTINGS, initdb: INITDB });
  using folder = serverFolder();
  const fill = (table: string, rows: number): string =>
    `CREATE TABLE ${table} AS SELECT * FROM generate_series(1, ${rows}) n`;
  await server.query(fill('common', 50_000));
  await server.stop();
  const copied = join(folder.path, 'data');
  execFileSync('cp', ['-a', server.folder, copied]);
  await server.start();
  await using bases = await RepeatedBases.create();
  await server.query('UPDATE common SET n = -n');
  await bases.take(server);
  await server.stop();
  await using copy = await startPostgres({ folder: copied, version: '17' });
  await copy.query(fill('own', 300_000));
  await copy.query('CHECKPOINT');
  const base = await bases.take(copy);
  assert.match(base.warnings.join(), /no summary of its log that begins at/);
  await copy.query('CHECKPOINT');
  assertAsOnServer(await bases.files(base), copy, 'the copy');
  await assertRestores(bases, base, copy);
});

test('what is damaged of the last base does not keep the next one from being taken', {
  ...TIMEOUT,
  ...needsPostgres('17'),
}, async () => {
  await using server = await startPostgres({ version: '17', settings: SETTINGS, initdb: INITDB });
  await server.query('CREATE TABLE t AS SELECT n, md5(n::text) AS words FROM generate_series(1, 100000) n');
  await server.query('CREATE UNLOGGED TABLE fleeting (n int)');
  await using bases = await RepeatedBases.create();
  // Else the first who looks at a row writes into its page.
  await server.query('VACUUM');
  await bases.take(server);
  const { memory, run } = bases.fixture;
  for await (const batch of memory.list('packs/', '', run)) {
    for (const { key, sizeBytes } of batch) {
      const bytes = Buffer.from(must(memory.get(key), 'a pack'));
      // Of those that have contents, not what is needed to find them.
      if (sizeBytes > MIB / 8) memory.put(key, bytes.fill(1, sizeBytes >> 2, sizeBytes >> 1));
    }
  }
  await server.query('UPDATE t SET words = words || n WHERE n % 1000 = 1');
  const second = await bases.take(server);
  assert.match(second.warnings.join(), /its base is taken without the one before/);
});

test('a base from before pages were given checksums, or of another history, is none to be made over', {
  ...TIMEOUT,
  ...needsPostgres('17'),
}, async (t) => {
  await using server = await startPostgres({ version: '17', settings: SETTINGS, initdb: INITDB });
  await using bases = await RepeatedBases.create();
  const taken = await bases.take(server);
  const files = await bases.files(taken);
  const { cut } = taken.written;
  const run = { signal: t.signal };
  await using sql = await connectSql(placeOfUrl(server.url), { name: 'test' }, run);
  const isFound = async (changed: ReadonlyMap<string, Buffer>, lineage = cut.lineage): Promise<boolean> => {
    const entries = [...new Map([...files, ...changed])].map(([name, bytes]) => ({
      name: Buffer.from(name),
      attributes: Buffer.of(),
      content: memoryContent(bytes),
    }));
    const settings = await askBackupSettings(sql, run);
    return (
      (await findEarlierBackup({ ...memoryReader(entries), cut }, { settings, lineage, readAllEvery: 30 }, run)) !==
      undefined
    );
  };
  const control = (change: (file: Buffer) => unknown): ReadonlyMap<string, Buffer> => {
    const file = Buffer.from(must(files.get('global/pg_control'), 'the control file'));
    change(file);
    return new Map([['global/pg_control', file]]);
  };
  assert.ok(await isFound(new Map()));
  assert.ok(!(await isFound(new Map(), 'another')));
  assert.ok(!(await isFound(control((file) => file.writeBigUInt64LE(1n)))), 'of another server');
  const checksums = (file: Buffer): number => file.indexOf(Buffer.from([0x87, 0xd6, 0x32, 0x41])) + 4 - 8 + 44;
  assert.ok(!(await isFound(control((file) => file.writeUInt32LE(0, checksums(file))))), 'without checksums');
});
