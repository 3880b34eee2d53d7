import type { Run } from '../../../core/run.ts';
import { connectSql } from '../connection.ts';
import type { PostgresPlace } from '../place.ts';

/**
 * SQL for the names, with their schema and quoted where they must be, of relations and of all that inherit from them, partitions foremost: what a table shows
 * lies in those, and they go with it when it is dropped. `roots`: SQL that yields OIDs.
 */
export function descendantsSql(roots: string): string {
  return `WITH RECURSIVE part (oid) AS (
  ${roots}
  UNION SELECT i.inhrelid FROM pg_catalog.pg_inherits i JOIN part p ON i.inhparent OPERATOR(pg_catalog.=) p.oid
)
SELECT pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname) AS name
FROM part p JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) p.oid
JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
WHERE c.relkind OPERATOR(pg_catalog.=) ANY ('{r,p,v,m,f,S}') ORDER BY 1`;
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
