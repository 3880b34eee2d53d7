import { statfsSync } from 'node:fs';
import { isTidemarkError } from '../../core/errors.ts';
import type { Finding } from '../../core/finding.ts';
import type { Run, Runtime } from '../../core/run.ts';
import { findClientProgram } from './binaries.ts';
import { connectReplication, connectSql, connectTo } from './connection.ts';
import type { Row, Session } from './connection.ts';
import { identify } from './log/identity.ts';
import { addressName } from './place.ts';
import type { PostgresPlace, ServerAddress } from './place.ts';

const MEBIBYTE = 1024 * 1024;
/** A base and the log at the same time. */
const SENDERS_NEEDED = 2;
const OWNER = 'tidemark/doctor';

const SETTINGS = `
SELECT name, setting FROM pg_catalog.pg_settings WHERE name IN (
  'server_version_num', 'wal_level', 'max_wal_senders', 'max_replication_slots', 'max_slot_wal_keep_size', 'data_checksums',
  'full_page_writes', 'fsync', 'archive_mode', 'synchronous_standby_names', 'summarize_wal')`;

const ROLE = `
SELECT current_user AS name, rolsuper AS super, rolreplication AS replication,
  pg_catalog.pg_has_role(current_user, 'pg_monitor', 'USAGE') AS monitor,
  pg_catalog.has_function_privilege('pg_catalog.pg_create_restore_point(text)', 'EXECUTE') AS points,
  pg_catalog.pg_is_in_recovery() AS standby,
  (SELECT count(*) FROM pg_catalog.pg_stat_replication) AS senders,
  (SELECT count(*) FROM pg_catalog.pg_replication_slots) AS slots,
  (SELECT count(*) FROM pg_catalog.pg_replication_slots WHERE slot_name ~ '^tidemark' OR slot_name = $1) AS own
FROM pg_catalog.pg_roles WHERE rolname = current_user`;

const SLOTS = `
SELECT slot_name AS name, wal_status AS status, active,
  pg_catalog.pg_wal_lsn_diff(CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_wal_receive_lsn() ELSE pg_catalog.pg_current_wal_lsn() END, restart_lsn) AS kept
FROM pg_catalog.pg_replication_slots WHERE slot_type = 'physical' AND (slot_name ~ '^tidemark' OR slot_name = $1) ORDER BY slot_name`;

/** What was asked of a server. Settings are as `pg_settings` has them. */
type Facts = {
  readonly server: string;
  readonly settings: ReadonlyMap<string, string>;
  readonly role: Row;
  readonly slots: readonly Row[];
  readonly place: PostgresPlace;
};

/** Checks what recording and restoring a server would need. Changes nothing. */
export async function diagnosePostgres(place: PostgresPlace, _runtime: Runtime, run: Run): Promise<readonly Finding[]> {
  try {
    await using sql = await connectSql(place, { name: OWNER }, run);
    const facts = await askFacts(place, sql, run);
    if (place.options.strategy === 'sql') return SQL_RULES.flatMap((rule) => rule(facts) ?? []);
    const findings = RULES.flatMap((rule) => rule(facts) ?? []);
    const others = place.addresses.filter((address) => addressName(address) !== addressName(sql.address));
    const left = await Promise.all(others.map((address) => leftSlots(place, address, run)));
    return [...findings, ...(await replicationFindings(place, sql, run)), ...left.flat()];
  } catch (error) {
    run.signal.throwIfAborted();
    if (!isTidemarkError(error)) throw error;
    return [{ code: 'POSTGRES_UNREACHABLE', severity: 'error', message: error.message, hint: error.hint }];
  }
}

async function askFacts(place: PostgresPlace, sql: Session, run: Run): Promise<Facts> {
  const settings = new Map<string, string>();
  for (const row of await sql.query(SETTINGS, run)) settings.set(row['name'] ?? '', row['setting'] ?? '');
  const named = [place.options.slot ?? ''];
  const [role = {}] = await sql.query(ROLE, run, named);
  const slots = await sql.query(SLOTS, run, named);
  return { server: addressName(sql.address), settings, role, slots, place };
}

/** A server that was left, as after a failover, keeps its log for a slot that nobody uses any more. */
async function leftSlots(place: PostgresPlace, address: ServerAddress, run: Run): Promise<readonly Finding[]> {
  try {
    await using sql = await connectTo(place, { name: OWNER, address }, run);
    const slots = await sql.query(SLOTS, run, [place.options.slot ?? '']);
    return slots
      .filter(({ active }) => active !== 't')
      .map(({ name, kept }) =>
        warning(
          'POSTGRES_SLOT_LEFT',
          `${addressName(address)} is not recorded now, and keeps ${Math.round(Number(kept) / MEBIBYTE)} MiB of log for the replication slot ${name}`,
          `If no other store uses it, there: SELECT pg_drop_replication_slot('${name}')`,
        ),
      );
  } catch {
    run.signal.throwIfAborted();
    // One that is away keeps nothing that could be told.
    return [];
  }
}

/** Whether pg_hba.conf lets this role in for replication can only be tried. */
async function replicationFindings(place: PostgresPlace, sql: Session, run: Run): Promise<readonly Finding[]> {
  try {
    await using session = await connectReplication(place, { name: OWNER, address: sql.address }, run);
    await identify(session, run);
    return [];
  } catch (error) {
    run.signal.throwIfAborted();
    if (!isTidemarkError(error)) throw error;
    return [
      failing('POSTGRES_NO_REPLICATION', `no connection for replication is possible: ${error.message}`, error.hint),
    ];
  }
}

type Rule = (facts: Facts) => Finding | readonly Finding[] | undefined;

function versionRule({ server, settings }: Facts): Finding | undefined {
  if (number(settings, 'server_version_num') >= 130_000) return undefined;
  return failing(
    'POSTGRES_VERSION',
    `${server} is older than PostgreSQL 13`,
    'Upgrade the server; 13 to 18 are supported.',
  );
}

/** Of a server that is only dumped. */
const SQL_RULES: readonly Rule[] = [
  versionRule,
  ({ server, role }) =>
    role['super'] === 't'
      ? undefined
      : failing(
          'POSTGRES_NOT_PERMITTED',
          `${server}: the role ${role['name']} is no superuser, and may not read the passwords of roles, which a dump holds`,
          'Name a superuser in the URL of the store, or use strategy: physical.',
        ),
  ({ place }) =>
    place.via.length > 0 || findClientProgram('pg_dumpall', place.options.binFolder) !== undefined
      ? undefined
      : failing(
          'POSTGRES_NO_PROGRAMS',
          'this host has no pg_dumpall',
          'Install the client programs of PostgreSQL, name their folder as binFolder, or how to reach a host that has them as via.',
        ),
];

const RULES: readonly Rule[] = [
  versionRule,
  ({ server, settings }) =>
    settings.get('wal_level') === 'minimal'
      ? failing(
          'POSTGRES_WAL_LEVEL',
          `${server} has wal_level minimal, which nothing can be rolled forward from`,
          'Set wal_level to replica, and restart the server.',
        )
      : undefined,
  capRule,
  ({ server, role }) =>
    role['replication'] === 't' || role['super'] === 't'
      ? undefined
      : failing(
          'POSTGRES_NOT_PERMITTED',
          `${server}: the role ${role['name']} may not replicate`,
          `ALTER ROLE ${quoted(role)} REPLICATION`,
        ),
  ({ server, role }) =>
    role['monitor'] === 't' || role['super'] === 't'
      ? undefined
      : warning(
          'POSTGRES_NO_MONITOR',
          `${server}: the role ${role['name']} does not see who else uses a slot`,
          `GRANT pg_monitor TO ${quoted(role)}`,
        ),
  ({ server, role }) =>
    role['points'] === 't' || role['standby'] === 't'
      ? undefined
      : note(
          'POSTGRES_NO_RESTORE_POINTS',
          `${server}: the role ${role['name']} may not write restore points, so that marks are named in the repository only`,
          `GRANT EXECUTE ON FUNCTION pg_create_restore_point TO ${quoted(role)}`,
        ),
  // A name that fits all fits us as well, and we confirm only what is in the repository.
  ({ server, settings }) =>
    settings.get('synchronous_standby_names')?.includes('*') === true
      ? failing(
          'POSTGRES_SYNCHRONOUS',
          `${server} takes any standby for a synchronous one: its commits would wait for the repository`,
          'Name the real standbys in synchronous_standby_names instead of *.',
        )
      : undefined,
  sendersRule,
  slotsRule,
  ({ server, settings }) =>
    settings.get('data_checksums') === 'on'
      ? undefined
      : warning(
          'POSTGRES_NO_CHECKSUMS',
          `${server} has no checksums of its pages: damage of its disk gets into bases unnoticed`,
          'Stop the server and run pg_checksums --enable.',
        ),
  ({ server, settings, role }) =>
    settings.get('full_page_writes') === 'on'
      ? undefined
      : role['standby'] === 't'
        ? failing(
            'POSTGRES_FULL_PAGE_WRITES',
            `${server} has full_page_writes off, so that no base can be taken from a standby`,
            'Set full_page_writes to on, on the primary.',
          )
        : warning(
            'POSTGRES_FULL_PAGE_WRITES',
            `${server} has full_page_writes off: a crash can leave half-written pages`,
            'Set full_page_writes to on.',
          ),
  ({ server, settings }) =>
    settings.get('fsync') === 'on'
      ? undefined
      : warning(
          'POSTGRES_FSYNC',
          `${server} has fsync off: a crash of its machine can lose or damage everything, and what was recorded may be ahead of it then`,
          'Set fsync to on.',
        ),
  // Servers before 17 do not have it.
  ({ server, settings }) =>
    settings.get('summarize_wal') === 'off'
      ? note(
          'POSTGRES_NO_SUMMARIES',
          `${server} does not note what changes: each base reads all of its files`,
          'Set summarize_wal to on, and reload: from the second base on only what has changed is read.',
        )
      : undefined,
  ({ server, settings }) =>
    settings.get('archive_mode') === 'off'
      ? undefined
      : note(
          'POSTGRES_ARCHIVES',
          `${server} archives its log as well (archive_mode ${settings.get('archive_mode')}); Tidemark neither needs nor waits for it`,
          'Keep it if another tool needs it: a failing archive_command fills the server’s disk whatever max_slot_wal_keep_size says.',
        ),
  ({ server, role }) =>
    role['standby'] === 't'
      ? note(
          'POSTGRES_STANDBY',
          `${server} is a standby: marks hold what it had applied, which may be less than its primary had`,
          'Name the primary for marks that hold all that was committed.',
        )
      : undefined,
  keptRule,
  spaceRule,
];

function capRule({ server, settings }: Facts): Finding | undefined {
  if (number(settings, 'max_slot_wal_keep_size') >= 0) return undefined;
  return failing(
    'POSTGRES_NO_CAP',
    `${server} has no max_slot_wal_keep_size: while nobody records, its log would fill its disk`,
    'Set max_slot_wal_keep_size to what its disk can spare, such as 20GB, and reload; an hour’s log or more.',
  );
}

function sendersRule({ server, settings, role }: Facts): Finding | undefined {
  const most = number(settings, 'max_wal_senders');
  const used = Number(role['senders']);
  const hint = 'Raise max_wal_senders, and restart the server.';
  if (most < SENDERS_NEEDED) {
    return failing('POSTGRES_SENDERS', `${server} has max_wal_senders ${most}; ${SENDERS_NEEDED} are needed`, hint);
  }
  if (most - used >= SENDERS_NEEDED || Number(role['own']) > 0) return undefined;
  return warning(
    'POSTGRES_SENDERS',
    `${server} has ${most - used} of ${most} max_wal_senders left; ${SENDERS_NEEDED} are needed`,
    hint,
  );
}

function slotsRule({ server, settings, role }: Facts): Finding | undefined {
  const most = number(settings, 'max_replication_slots');
  if (most > Number(role['slots']) || Number(role['own']) > 0) return undefined;
  const [message, hint] = [
    `${server} has no replication slot left of ${most}`,
    'Raise max_replication_slots, and restart the server.',
  ];
  return failing('POSTGRES_SLOTS', message, hint);
}

function keptRule({ server, settings, slots }: Facts): readonly Finding[] {
  const capBytes = number(settings, 'max_slot_wal_keep_size') * MEBIBYTE;
  return slots.flatMap(({ name, status, active, kept }) => {
    const about = `${server}: the replication slot ${name}`;
    if (status === 'lost') {
      return [
        failing(
          'POSTGRES_SLOT_LOST',
          `${about} is lost: the server removed log that was not stored yet`,
          'A new base is taken by itself; raise max_slot_wal_keep_size so that it does not happen again.',
        ),
      ];
    }
    if (capBytes > 0 && Number(kept) > capBytes / 2) {
      const message = `${about} keeps ${Math.round(Number(kept) / MEBIBYTE)} MiB of log, more than half of what it may`;
      return [
        warning('POSTGRES_SLOT_BEHIND', message, 'See why the log is not stored, before the server has to drop it.'),
      ];
    }
    if (active === 't') return [];
    return [
      note(
        'POSTGRES_SLOT_IDLE',
        `${about} is not used now, and keeps ${Math.round(Number(kept) / MEBIBYTE)} MiB of log`,
        `Start tidemark up, or, if nobody records any more: SELECT pg_drop_replication_slot('${name}')`,
      ),
    ];
  });
}

/** Only where the server's disk is one of this host. */
function spaceRule({ server, settings, place }: Facts): Finding | undefined {
  const folder = place.options.dataDirectory;
  const freeBytes = folder === undefined ? undefined : freeBytesAt(folder);
  const capBytes = number(settings, 'max_slot_wal_keep_size') * MEBIBYTE;
  if (freeBytes === undefined || freeBytes >= capBytes) return undefined;
  return warning(
    'POSTGRES_DISK',
    `${server} may keep ${Math.round(capBytes / MEBIBYTE)} MiB of log, and its disk has ${Math.round(freeBytes / MEBIBYTE)} MiB left`,
    'Make room, or lower max_slot_wal_keep_size.',
  );
}

function freeBytesAt(folder: string): number | undefined {
  try {
    const { bavail, bsize } = statfsSync(folder);
    return bavail * bsize;
  } catch {
    // Not on this host, or not for this user to see.
    return undefined;
  }
}

function number(settings: ReadonlyMap<string, string>, name: string): number {
  return Number(settings.get(name) ?? Number.NaN);
}

function quoted(role: Row): string {
  return `"${(role['name'] ?? '').replaceAll('"', '""')}"`;
}

function failing(code: string, message: string, hint: string): Finding {
  return { code, severity: 'error', message, hint };
}

function warning(code: string, message: string, hint: string): Finding {
  return { code, severity: 'warning', message, hint };
}

function note(code: string, message: string, hint: string): Finding {
  return { code, severity: 'note', message, hint };
}
