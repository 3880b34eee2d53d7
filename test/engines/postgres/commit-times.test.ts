import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { parseLsn } from '../../../src/connectors/postgres/lsn.ts';
import { CommitTimes } from '../../../src/connectors/postgres/wal/commit-times.ts';
import type { CommitTime } from '../../../src/connectors/postgres/wal/commit-times.ts';
import { parseSegmentName } from '../../../src/connectors/postgres/wal/shape.ts';
import { must } from '../../../src/core/must.ts';
import { createSeededRandom } from '../../../src/flow/random.ts';
import { needsPostgres } from '../../servers/postgres-binaries.ts';
import type { PostgresVersion } from '../../servers/postgres-binaries.ts';
import { startPostgres } from '../../servers/postgres.ts';
import type { PostgresServer } from '../../servers/postgres.ts';

const SEGMENT_BYTES = 16 * 1024 * 1024;
const SHAPE = { pageBytes: 8192, segmentBytes: SEGMENT_BYTES };
const SETTINGS = {
  track_commit_timestamp: 'on',
  max_prepared_transactions: '2',
  wal_level: 'logical',
  wal_keep_size: '512MB',
};

/** What transactions look like in a log: small and large ones, with others in them, prepared ones, and such that came from elsewhere. */
const TRANSACTIONS = [
  'CREATE TABLE t (n int, pad text)',
  'INSERT INTO t VALUES (1)',
  "INSERT INTO t SELECT n, repeat('x', 500) FROM generate_series(1, 20000) n",
  'BEGIN; INSERT INTO t VALUES (2); SAVEPOINT a; INSERT INTO t VALUES (3); RELEASE a; COMMIT',
  'DO $$ BEGIN FOR n IN 1..3000 LOOP BEGIN INSERT INTO t VALUES (n); EXCEPTION WHEN OTHERS THEN NULL; END; END LOOP; END $$',
  "BEGIN; INSERT INTO t VALUES (4); PREPARE TRANSACTION 'two'",
  "COMMIT PREPARED 'two'",
  "SELECT pg_replication_origin_create('o'); SELECT pg_replication_origin_session_setup('o'); BEGIN; INSERT INTO t VALUES (5); COMMIT",
  'BEGIN; INSERT INTO t VALUES (6); ROLLBACK',
  'CHECKPOINT',
  'DELETE FROM t; DROP TABLE t',
];

/** When the server says that transactions were committed, in whole milliseconds, not before. */
async function committed(server: PostgresServer): Promise<ReadonlySet<number>> {
  const rows = await server.query(
    `SELECT ceil(extract(epoch FROM pg_xact_commit_timestamp(n::text::xid)) * 1000)::text AS at
     FROM generate_series(3, txid_current()::int - 1) n
     WHERE pg_xact_commit_timestamp(n::text::xid) IS NOT NULL`,
  );
  return new Set(rows.map(({ at }) => Number(at)));
}

/** The log in the server's files from a place on, in pieces of any size. */
function findTimes(server: PostgresServer, from: bigint, to: bigint, seed: number): readonly CommitTime[] {
  const random = createSeededRandom(seed);
  const times = new CommitTimes(SHAPE);
  const folder = join(server.folder, 'pg_wal');
  const found: CommitTime[] = [];
  for (const name of readdirSync(folder).sort()) {
    const segment = parseSegmentName(name, SEGMENT_BYTES);
    if (segment === undefined || segment.start + BigInt(SEGMENT_BYTES) <= from || segment.start >= to) continue;
    const file = readFileSync(join(folder, name));
    let at = from > segment.start ? Number(from - segment.start) : 0;
    const end = Math.min(file.byteLength, Number(to - segment.start));
    while (at < end) {
      const bytes = file.subarray(at, Math.min(end, at + 1 + random.integer(20_000)));
      found.push(...times.add({ start: segment.start + BigInt(at), bytes }));
      at += bytes.byteLength;
    }
  }
  return found;
}

for (const version of ['13', '14', '15', '16', '17', '18'] as const satisfies readonly PostgresVersion[]) {
  test(`the log of PostgreSQL ${version} tells when each transaction was committed, wherever it is begun to be read`, {
    ...needsPostgres(version),
    timeout: 300_000,
  }, async (t) => {
    await using server = await startPostgres({ version, settings: SETTINGS });
    const seed = Date.now() % 1_000_000;
    t.diagnostic(`seed ${seed}`);
    const lsn = async (): Promise<bigint> =>
      must(parseLsn(await server.value('SELECT pg_current_wal_insert_lsn()')), 'a place');
    const from = await lsn();
    const before = await committed(server);
    for (const sql of TRANSACTIONS) await server.query(sql);
    await server.query("SELECT pg_logical_emit_message(true, 'x', '')");
    const to = await lsn();
    const expected = [...(await committed(server))].filter((atMs) => !before.has(atMs)).toSorted((a, b) => a - b);
    assert.ok(expected.length >= 8);
    const found = findTimes(server, from - (from % 8192n), to, seed);
    const times = new Set(found.map(({ atMs }) => atMs));
    assert.deepEqual(
      expected.filter((atMs) => !times.has(atMs)),
      [],
    );
    const random = createSeededRandom(seed);
    for (let round = 0; round < 10; round++) {
      const begin = from + BigInt(random.integer(Number(to - from)));
      const later = findTimes(server, begin, to, seed + round);
      // Up to the first page that says where its first record begins nothing is known.
      const whole = found.filter(({ end }) => later[0] !== undefined && end >= later[0].end);
      assert.deepEqual(later, whole);
    }
  });
}
