import { TidemarkError } from '../../../core/errors.ts';
import type { Run } from '../../../core/run.ts';
import { majorVersionOf } from '../client-program.ts';
import { connectSql } from '../connection.ts';
import type { Session } from '../connection.ts';
import { placeName } from '../place.ts';
import type { PostgresPlace } from '../place.ts';
import type { DumpFacts } from './dump-facts.ts';

/** A load that was cut off may have left only one of them. The second is what a dump drops and makes first, from within the first. */
export const ALWAYS_THERE = ['postgres', 'template1'] as const;
const NAME = 'tidemark';
/** From this version on programs write a setting that older servers refuse: transaction_timeout. */
const NEW_WORDS_SINCE = 17;
const MOST_TOLD = 4;
/** One more, so that it is seen that there are more. */
const MOST_FOUND = MOST_TOLD + 1;

/** A server that a dump goes into. */
export type LoadServer = AsyncDisposable & {
  /** With a database to be connected to while all that it brings are dropped and made. */
  readonly place: PostgresPlace;
  readonly sql: Session;
};

/** Connects to one of the databases that a server always has, whatever the place's own is. @throws STORE_UNREACHABLE */
export async function openServer(place: PostgresPlace, run: Run): Promise<LoadServer> {
  const troubles: unknown[] = [];
  for (const database of ALWAYS_THERE) {
    try {
      const sql = await connectSql({ ...place, database }, { name: NAME }, run);
      return { place: { ...place, database }, sql, [Symbol.asyncDispose]: () => sql[Symbol.asyncDispose]() };
    } catch (error) {
      run.signal.throwIfAborted();
      troubles.push(error);
    }
  }
  throw troubles[0];
}

const DATABASES = `
SELECT datname AS what FROM pg_catalog.pg_database WHERE datname NOT IN ('postgres', 'template0', 'template1') LIMIT ${MOST_FOUND}`;
const RELATIONS = `
SELECT c.relname AS what FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname NOT LIKE 'pg\\_%' AND n.nspname <> 'information_schema' LIMIT ${MOST_FOUND}`;

/** Names of what a server holds, the first few; none of an empty one. */
export async function contentOf(place: PostgresPlace, run: Run): Promise<readonly string[]> {
  await using server = await openServer(place, run);
  return await heldBy(server, run);
}

async function heldBy({ sql, place }: LoadServer, run: Run): Promise<readonly string[]> {
  const found = [...(await sql.query(DATABASES, run))];
  for (const database of await presentOf(sql, run)) {
    await using other = await connectSql({ ...place, database }, { name: NAME }, run);
    found.push(...(await other.query(RELATIONS, run)));
  }
  return found.slice(0, MOST_FOUND).map((row) => row['what'] ?? '');
}

/** @throws RESTORE_CONFLICT when the server holds something */
export async function assertEmpty(server: LoadServer, run: Run): Promise<void> {
  const found = await heldBy(server, run);
  if (found.length === 0) return;
  const names = found.slice(0, MOST_TOLD).join(', ');
  throw new TidemarkError('RESTORE_CONFLICT', `${placeName(server.place)} is not empty: it holds ${names}`, {
    hint: 'Name an empty server by --into, or allow with --replace that what it holds is replaced.',
  });
}

const OTHERS = `
SELECT usename AS who, datname AS place, application_name AS name FROM pg_catalog.pg_stat_activity
WHERE datname = COALESCE($1, datname) AND backend_type = 'client backend' AND pid <> pg_catalog.pg_backend_pid() AND application_name <> '${NAME}'
UNION ALL SELECT owner, database, 'a prepared transaction' FROM pg_catalog.pg_prepared_xacts
WHERE database = COALESCE($1, database)
LIMIT ${MOST_TOLD}`;

/** As the server itself waits before it drops a database: a session is there for a moment after its client has gone, ours among them. */
const LOOKS = 50;
const BETWEEN_LOOKS = 'SELECT pg_catalog.pg_sleep(0.1)';

/** A database can't be dropped while somebody is connected to it. Those who are going have some seconds. `database`: without it, all of them. @throws RESTORE_CONFLICT */
export async function assertNobodyElse(
  { sql, place }: Pick<LoadServer, 'sql' | 'place'>,
  run: Run,
  database: string | null = null,
): Promise<void> {
  let found = await sql.query(OTHERS, run, [database]);
  for (let look = 1; look < LOOKS && found.length > 0; look++) {
    await sql.query(BETWEEN_LOOKS, run);
    found = await sql.query(OTHERS, run, [database]);
  }
  if (found.length === 0) return;
  const told = found.map((row) => `${row['who']} in ${row['place']}${row['name'] ? ` (${row['name']})` : ''}`);
  throw new TidemarkError('RESTORE_CONFLICT', `${placeName(place)} is in use by ${told.join(', ')}`, {
    hint: 'Stop what is connected to it, and commit or roll back what is prepared: its databases are dropped and made anew.',
  });
}

/** @throws UNSUPPORTED when the server does not know all that the dump may say */
export async function assertLoadable(
  { sql, place }: Pick<LoadServer, 'sql' | 'place'>,
  { writtenBy }: Pick<DumpFacts, 'writtenBy'>,
  run: Run,
): Promise<void> {
  const majorVersion = await majorVersionOf(sql, run);
  if (writtenBy === undefined || writtenBy < NEW_WORDS_SINCE || majorVersion >= NEW_WORDS_SINCE) return;
  throw new TidemarkError(
    'UNSUPPORTED',
    `${placeName(place)} is PostgreSQL ${majorVersion}, which does not understand what pg_dump ${writtenBy} writes`,
    { hint: `Install the client programs of PostgreSQL ${majorVersion} here, or name their folder as binFolder.` },
  );
}

const DROPS = `
SELECT datname AS name, pg_catalog.format('DROP DATABASE %I;', datname) AS command FROM pg_catalog.pg_database
WHERE datname NOT IN ('postgres', 'template0', 'template1')`;
const ROLES = 'SELECT rolname AS name FROM pg_catalog.pg_roles';
/** What the dump's own commands for a role do not say when it has none. */
const RESETS = `
WITH brought AS (
  SELECT oid, rolname, rolvaliduntil FROM pg_catalog.pg_roles
  WHERE rolname <> current_user AND rolname IN (SELECT pg_catalog.json_array_elements_text($1::pg_catalog.json))
)
SELECT pg_catalog.format('ALTER ROLE %I CONNECTION LIMIT -1 PASSWORD NULL%s; ALTER ROLE %I RESET ALL;', rolname,
  CASE WHEN rolvaliduntil IS NULL THEN '' ELSE ' VALID UNTIL ''infinity''' END, rolname) AS command
FROM brought
UNION ALL
SELECT pg_catalog.format('REVOKE %I FROM %I%s CASCADE;', r.rolname, m.rolname,
  CASE WHEN g.rolname IS NULL THEN '' ELSE pg_catalog.format(' GRANTED BY %I', g.rolname) END)
FROM pg_catalog.pg_auth_members a JOIN brought m ON m.oid = a.member
JOIN pg_catalog.pg_roles r ON r.oid = a.roleid LEFT JOIN pg_catalog.pg_roles g ON g.oid = a.grantor`;

/**
 * What is run before the dump, so that only what it brings is there: databases that it does not bring are dropped. Roles that the server has stay,
 * as a server's first one has to, with nothing of their own. `roles`: those.
 */
export async function prepareServer(
  { sql }: LoadServer,
  facts: DumpFacts,
  run: Run,
): Promise<{ readonly commands: string; readonly roles: ReadonlySet<string> }> {
  const present = await presentOf(sql, run);
  for (const database of ALWAYS_THERE) {
    if (present.includes(database)) continue;
    await sql.query(`CREATE DATABASE ${database} TEMPLATE template0`, run);
  }
  const drops = (await sql.query(DROPS, run)).filter((row) => !facts.databases.has(row['name'] ?? ''));
  const resets = await sql.query(RESETS, run, [JSON.stringify([...facts.roles])]);
  const commands = [...drops, ...resets].map((row) => row['command'] ?? '');
  const roles = await sql.query(ROLES, run);
  return {
    commands: ["SET client_encoding = 'UTF8';", ...commands, ''].join('\n'),
    roles: new Set(roles.map((row) => row['name'] ?? '')),
  };
}

/** Of the databases that always are there. */
async function presentOf(sql: Session, run: Run): Promise<readonly string[]> {
  const rows = await sql.query('SELECT datname AS name FROM pg_catalog.pg_database', run);
  return ALWAYS_THERE.filter((database) => rows.some(({ name }) => name === database));
}
