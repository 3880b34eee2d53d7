import { TidemarkError } from '../../../core/errors.ts';

/** A database, or tables of one: patterns as `pg_dump --table` takes them. */
export type Wanted = { readonly database: string; readonly tables: readonly string[] };

/**
 * What `--only` means for a server: `DATABASE`, `DATABASE/SCHEMA.TABLE`, or `SCHEMA.TABLE` in the store's own database. Several of one database are taken
 * out together. @throws USAGE
 */
export function parseWanted(patterns: readonly string[], ownDatabase: string): readonly Wanted[] {
  const found = new Map<string, { whole: boolean; tables: string[] }>();
  for (const pattern of patterns) {
    const slash = pattern.indexOf('/');
    const hasTable = slash >= 0 ? slash < pattern.length - 1 : pattern.includes('.');
    const database = slash >= 0 ? pattern.slice(0, slash) : hasTable ? ownDatabase : pattern;
    const table = hasTable ? pattern.slice(slash + 1) : undefined;
    if (database === '' || table?.startsWith('-') === true || database.startsWith('-')) throw refused(pattern);
    const known = found.get(database) ?? { whole: false, tables: [] };
    found.set(database, known);
    if (table === undefined) known.whole = true;
    else known.tables.push(table);
  }
  return [...found].map(([database, { whole, tables }]) => ({ database, tables: whole ? [] : tables }));
}

function refused(pattern: string): TidemarkError {
  return new TidemarkError('USAGE', `--only ${JSON.stringify(pattern)} names neither a database nor a table`, {
    hint: 'Write DATABASE, DATABASE/SCHEMA.TABLE, or SCHEMA.TABLE.',
  });
}
