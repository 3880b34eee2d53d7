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
