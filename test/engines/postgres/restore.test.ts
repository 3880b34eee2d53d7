import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { formatLsn, parseLsn } from '../../../src/connectors/postgres/lsn.ts';
import { createSeededRandom } from '../../../src/flow/random.ts';
import { startPostgres } from '../../servers/postgres.ts';
import type { PostgresServer } from '../../servers/postgres.ts';
import { flush, insertPosition, runTool, takeBase } from './fixture.ts';
import { numbersIn, restoreTo, sharedFolder } from './restore-fixture.ts';

type CommitRecord = { readonly xid: number; readonly end: bigint };

/** What PostgreSQL's own program finds in the log: where each transaction's commit ends. */
async function commitsOf(server: PostgresServer, from: bigint, to: bigint): Promise<readonly CommitRecord[]> {
  const args = ['-p', join(server.folder, 'pg_wal'), '-s', formatLsn(from), '-e', formatLsn(to)];
  const text = await runTool(join(server.binFolder, 'pg_waldump'), args);
  const commits: { xid: number; end: bigint }[] = [];
  let open: number[] = [];
  for (const line of text.split('\n')) {
    const [, xid, at] = /tx:\s+([0-9]+), lsn: ([0-9A-F/]+),/.exec(line) ?? [];
    const lsn = parseLsn(at ?? '');
    if (lsn === undefined) continue;
    // The commit before ends where a page does, when this record is the first behind the page's header.
    const end = lsn % 8192n <= 40n ? lsn - (lsn % 8192n) : lsn;
    for (const committed of open) commits.push({ xid: committed, end });
    open = line.includes('desc: COMMIT') ? [Number(xid)] : [];
  }
  return [...commits, ...open.map((xid) => ({ xid, end: to }))];
}

const MOMENTS = process.env['TIDEMARK_TEST_LEVEL'] === 'full' ? 20 : 8;

test('at every position there is exactly what was committed up to it', { timeout: 600_000 }, async () => {
  await using server = await startPostgres({ settings: { wal_keep_size: '4GB', synchronous_commit: 'off' } });
  await server.query('CREATE TABLE stamps (n int PRIMARY KEY, filler text)');
  await server.runClient('pgbench', ['-i', '-s', '1', '-q', 'postgres']);
  await using folder = sharedFolder();
  const taken = await takeBase(server, folder.at('base'));
  const noise = server.runClient('pgbench', ['-n', '-c', '3', '-T', '4', 'postgres']);
  const end = Date.now() + 4000;
  for (let n = 1; Date.now() < end; n++) {
    await server.query(`INSERT INTO stamps VALUES (${n}, repeat('x', ${(n * 379) % 9000}))`);
  }
  await noise;
  await flush(server);
  const last = await insertPosition(server);
  const commits = await commitsOf(server, taken.start, last);
  const rows = await server.query('SELECT n, xmin::text::int AS xid FROM stamps ORDER BY n');
  assert.ok(commits.length > 100);
  const seed = randomInt(2 ** 31);
  const random = createSeededRandom(seed);
  for (let count = 0; count < MOMENTS; count++) {
    // Half of them at the end of a commit or a byte before, the others anywhere, in the middle of records too.
    // Records are padded to eight bytes: in the padding they are whole already.
    const anywhere = taken.cut + 8n * BigInt(random.integer(Number(last - taken.cut) / 8));
    const near = random.pick(commits).end - BigInt(count % 4 === 1 ? 0 : 8);
    const lsn = count % 2 === 0 || near < taken.cut ? anywhere : near;
    const target = folder.at(`restored-${count}`);
    await restoreTo({ server, taken, target, lsn });
    const committed = new Set(commits.filter((commit) => commit.end <= lsn).map(({ xid }) => xid));
    const wanted = rows.filter(({ xid }) => committed.has(Number(xid))).map(({ n }) => Number(n));
    assert.deepEqual(await numbersIn(target), wanted, `seed ${seed}, at ${formatLsn(lsn)}`);
    rmSync(target, { recursive: true });
  }
  assert.deepEqual(
    readdirSync(folder.path).filter((name) => !name.includes('journal')),
    ['base'],
  );
});
