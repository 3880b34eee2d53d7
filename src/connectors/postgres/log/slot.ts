import type { Run, Clock } from '../../../core/run.ts';
import type { Row, Session } from '../connection.ts';
import { serverError, sqlState, SqlState, unreachable } from '../errors.ts';
import { parseLsn } from '../lsn.ts';
import { addressName } from '../place.ts';

/** `lost`: the server has removed log that the slot was to keep. `activePid`: of the process that serves whoever uses it. */
export type Slot = {
  readonly restart: bigint | undefined;
  readonly isLost: boolean;
  readonly isPhysical: boolean;
  readonly activePid: string | undefined;
  readonly activeName: string | undefined;
};

const FIND = `
SELECT s.slot_type, s.restart_lsn, s.wal_status, s.active_pid, a.application_name
FROM pg_catalog.pg_replication_slots s LEFT JOIN pg_catalog.pg_stat_activity a ON a.pid = s.active_pid
WHERE s.slot_name = $1`;

/** A connection that broke may take its time to be noticed by the server. */
const RELEASE_TRIES = 20;
const RELEASE_REST_MS = 250;

export async function findSlot(sql: Session, name: string, run: Run): Promise<Slot | undefined> {
  const [row] = await sql.query(FIND, run, [name]);
  return row === undefined ? undefined : slotOf(row);
}

function slotOf(row: Row): Slot {
  return {
    restart: parseLsn(row['restart_lsn'] ?? ''),
    isLost: row['wal_status'] === 'lost',
    isPhysical: row['slot_type'] === 'physical',
    activePid: row['active_pid'] ?? undefined,
    activeName: row['application_name'] ?? undefined,
  };
}

/** Creates it over a connection for replication, and with it reserves the log from the last checkpoint on. */
export async function createSlot(replication: Session, name: string, run: Run): Promise<void> {
  await create(replication, name, `"${name}" PHYSICAL RESERVE_WAL`, run);
}

/** As `createSlot`, but it goes with the connection. */
export async function createTemporarySlot(replication: Session, name: string, run: Run): Promise<void> {
  await create(replication, name, `"${name}" TEMPORARY PHYSICAL RESERVE_WAL`, run);
}

async function create(replication: Session, name: string, definition: string, run: Run): Promise<void> {
  const server = addressName(replication.address);
  try {
    await replication.query(`CREATE_REPLICATION_SLOT ${definition}`, run);
  } catch (error) {
    if (sqlState(error) === SqlState.duplicateObject) return;
    if (sqlState(error) === '53400') {
      throw unreachable(`${server} has no free replication slot for ${name}`, {
        cause: error,
        hint: 'Raise max_replication_slots.',
      });
    }
    throw serverError(server, error);
  }
}

/**
 * Makes sure that nobody uses the slot. What an earlier connection of the same `owner` left is ended.
 * @throws STORE_UNREACHABLE when somebody else uses it
 */
export async function freeSlot(
  {
    sql,
    name,
    owner,
    clock,
  }: { readonly sql: Session; readonly name: string; readonly owner: string; readonly clock: Clock },
  run: Run,
): Promise<Slot | undefined> {
  const server = addressName(sql.address);
  for (let tries = 0; ; tries++) {
    const slot = await findSlot(sql, name, run);
    if (slot !== undefined && !slot.isPhysical) {
      throw unreachable(`${server}: the replication slot ${name} is a logical one`, {
        disposition: 'stop',
        hint: 'Name another slot in the manifest.',
      });
    }
    if (slot?.activePid === undefined) return slot;
    if (slot.activeName !== owner || tries >= RELEASE_TRIES) {
      throw unreachable(
        `${server}: another recorder uses the replication slot ${name}: ${slot.activeName ?? 'unknown'}, process ${slot.activePid}`,
        {
          hint: 'A store is recorded by one recorder. Stop the other one, or name another slot in the manifest.',
        },
      );
    }
    await sql.query('SELECT pg_catalog.pg_terminate_backend($1)', run, [slot.activePid]);
    await clock.sleep(RELEASE_REST_MS, run);
  }
}
