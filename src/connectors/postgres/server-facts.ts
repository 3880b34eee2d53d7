import { TidemarkError } from '../../core/errors.ts';
import type { BaseReader } from '../../core/restorer.ts';
import type { Run } from '../../core/run.ts';
import type { Session } from './connection.ts';
import { sqlState } from './errors.ts';

/** The entry of a base that says what lies outside of the data directory: where a system's package keeps the configuration, and what sorts text. */
export const SERVER_FILE = 'tidemark/server.json';

const MAX_BYTES = 16 * 1024 * 1024;
const NOT_PERMITTED = '42501';

const SETTINGS = `
SELECT pg_catalog.json_agg(s)::pg_catalog.text AS told FROM (
  SELECT name, setting, unit, sourcefile AS file FROM pg_catalog.pg_settings
  WHERE source NOT IN ('default', 'override', 'client', 'session')
    OR name IN ('server_version', 'config_file', 'hba_file', 'ident_file', 'data_directory')
  ORDER BY name) s`;
const HBA = 'SELECT pg_catalog.json_agg(h)::pg_catalog.text AS told FROM pg_catalog.pg_hba_file_rules h';

/** What the libraries that sort text call their rules, such as `libc 2.36`: a row each. */
export const COLLATIONS = `
SELECT DISTINCT CASE provider WHEN 'c' THEN 'libc' WHEN 'i' THEN 'ICU' ELSE 'builtin' END || ' ' || version AS told
FROM (SELECT collprovider AS provider, pg_catalog.pg_collation_actual_version(oid) AS version FROM pg_catalog.pg_collation) c
WHERE version IS NOT NULL ORDER BY 1`;

/** The content of that entry. What the role may not see is null in it. `basesOfChanges`: how many in a row, up to this one, read only what had changed. */
export async function askServerFile(sql: Session, basesOfChanges: number, run: Run): Promise<Uint8Array> {
  const [settings] = await permitted(sql, SETTINGS, run);
  const [hba] = await permitted(sql, HBA, run);
  const collations = await permitted(sql, COLLATIONS, run);
  const facts = { settings: parsed(settings), hba: parsed(hba), collations, basesOfChanges };
  return Buffer.from(`${JSON.stringify(facts, undefined, 1)}\n`);
}

async function permitted(sql: Session, query: string, run: Run): Promise<readonly string[]> {
  try {
    return (await sql.query(query, run)).map((row) => row['told'] ?? 'null');
  } catch (error) {
    if (sqlState(error) === NOT_PERMITTED) return [];
    throw error;
  }
}

function parsed(json: string | undefined): unknown {
  return json === undefined ? null : JSON.parse(json);
}

type Files = Pick<BaseReader, 'find' | 'read'>;

/** What sorted the text of a base; nothing where it does not say. */
export async function readCollations(base: Files, run: Run): Promise<readonly string[]> {
  const told = await readFact(base, 'collations', run);
  return Array.isArray(told) ? told.map(String) : [];
}

/** How many bases in a row, up to this one, read only what had changed. */
export async function readBasesOfChanges(base: Files, run: Run): Promise<number> {
  const told = await readFact(base, 'basesOfChanges', run);
  return typeof told === 'number' ? told : 0;
}

async function readFact(base: Files, name: string, run: Run): Promise<unknown> {
  const entry = await base.find(Buffer.from(SERVER_FILE), run);
  if (entry?.content === undefined || entry.content.sizeBytes > MAX_BYTES) return undefined;
  const bytes = Buffer.concat(await Array.fromAsync(base.read(entry.content, run)));
  try {
    const facts: unknown = JSON.parse(bytes.toString());
    return typeof facts === 'object' && facts !== null ? new Map(Object.entries(facts)).get(name) : undefined;
  } catch (error) {
    throw new TidemarkError('REPOSITORY_DAMAGED', `${SERVER_FILE} of the base can’t be read`, { cause: error });
  }
}

/** What an operator must know where text is sorted by other rules than before: a text for each library. */
export function collationNotes(before: readonly string[], now: readonly string[]): readonly string[] {
  const libraries = new Set(before.map(libraryOf));
  return [...libraries].flatMap((library) => {
    const [was, is] = [before, now].map((all) => all.filter((told) => libraryOf(told) === library).join(', '));
    if (was === is) return [];
    return [
      `text was sorted by ${was}, and here it is by ${is || `no ${library}`}: indexes of text that are not of the collation C may miss rows until they are rebuilt with REINDEX`,
    ];
  });
}

function libraryOf(told: string): string {
  return told.slice(0, told.indexOf(' '));
}
