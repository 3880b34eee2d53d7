import type { Run } from '../../../core/run.ts';
import { connectSql } from '../connection.ts';
import type { PostgresPlace } from '../place.ts';
import { assertNobodyElse } from '../plain-sql/server.ts';
import { descendantsSql } from './descendants.ts';
import type { Wanted } from './wanted.ts';

/** The live server with the database in which one asks for what is wanted: a whole one may not be there. */
export function askedAt(server: PostgresPlace, wanted: Wanted): PostgresPlace {
  if (wanted.tables.length > 0) return server;
  return { ...server, database: wanted.database === 'postgres' ? 'template1' : 'postgres' };
}

/** What is in the live server already of what is wanted, as far as its names tell: which tables a pattern means only the base knows. */
export async function presentOf(server: PostgresPlace, wanted: Wanted, run: Run): Promise<readonly string[]> {
  const names = wanted.tables.filter((table) => /^(?:\w+|"[^"]+")(?:\.(?:\w+|"[^"]+"))?$/.test(table));
  return await presentParts(server, wanted, names, run);
}

const PRESENT = descendantsSql(
  'SELECT pg_catalog.to_regclass(name)::pg_catalog.oid FROM pg_catalog.json_array_elements_text($1::pg_catalog.json) name',
);

/** What of it is in the live server: the database, or relations of it with their partitions, also later ones. */
export async function presentParts(
  server: PostgresPlace,
  wanted: Wanted,
  relations: readonly string[],
  run: Run,
): Promise<readonly string[]> {
  const isDatabase = wanted.tables.length === 0;
  await using sql = await connectSql(askedAt(server, wanted), { name: 'tidemark' }, run);
  if (isDatabase) {
    const rows = await sql.query('SELECT datname FROM pg_catalog.pg_database WHERE datname = $1', run, [
      wanted.database,
    ]);
    return rows.map((row) => row['datname'] ?? '');
  }
  const rows = await sql.query(PRESENT, run, [JSON.stringify(relations)]);
  return rows.map((row) => row['name'] ?? '');
}

/** A database is dropped for the one that comes. @throws RESTORE_CONFLICT while somebody is connected to it */
export async function assertUnused(server: PostgresPlace, wanted: Wanted, run: Run): Promise<void> {
  if (wanted.tables.length > 0) return;
  const place = askedAt(server, wanted);
  await using sql = await connectSql(place, { name: 'tidemark' }, run);
  await assertNobodyElse({ sql, place }, run, wanted.database);
}

const NEEDLESS = `
SELECT pg_catalog.format('ALTER TABLE IF EXISTS ONLY %I.%I DROP CONSTRAINT IF EXISTS %I;', n.nspname, c.relname, k.conname) AS line
FROM pg_catalog.pg_constraint k JOIN pg_catalog.pg_class c ON c.oid = k.conrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE k.conparentid <> 0 AND k.contype IN ('p', 'u', 'x')
UNION ALL
SELECT pg_catalog.format('DROP INDEX IF EXISTS %I.%I;', n.nspname, c.relname)
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('i', 'I') AND c.relispartition`;

/** Lines that a dump has of what a partition has through its table: the server refuses to drop it alone, and it goes with the partition. */
export async function needlessDrops(server: PostgresPlace, run: Run): Promise<ReadonlySet<string>> {
  await using sql = await connectSql(server, { name: 'tidemark' }, run);
  return new Set((await sql.query(NEEDLESS, run)).map((row) => row['line'] ?? ''));
}
