import type { Position } from '../../../core/position.ts';
import type { Run } from '../../../core/run.ts';
import type { Row, Session } from '../connection.ts';
import { positionLost, serverError, sqlState, SqlState, unreachable } from '../errors.ts';
import { formatLsn, parseLsn, placeOf, positionOf } from '../lsn.ts';
import { addressName } from '../place.ts';
import { isOnTheWay, parseTimelines, partedAt } from './timelines.ts';
import type { Timelines } from './timelines.ts';

/** Who a server is, and how far its log has come. */
export type Identity = { readonly systemId: string; readonly timelines: Timelines; readonly flushed: bigint };

/** Asks over a connection for replication. @throws STORE_UNREACHABLE */
export async function identify(session: Session, run: Run): Promise<Identity> {
  const server = addressName(session.address);
  try {
    const [row] = await session.query('IDENTIFY_SYSTEM', run);
    const systemId = row?.['systemid'];
    const timeline = Number(row?.['timeline']);
    const flushed = parseLsn(row?.['xlogpos'] ?? '');
    if (typeof systemId !== 'string' || flushed === undefined) throw unreachable(`${server} does not say who it is`);
    return { systemId, flushed, timelines: await askTimelines(session, timeline, run) };
  } catch (error) {
    throw serverError(server, error);
  }
}

async function askTimelines(session: Session, current: number, run: Run): Promise<Timelines> {
  if (current <= 1) return { current, left: [] };
  const rows = await historyRows(session, current, run);
  // Without its history nothing can be proven of what came before.
  return parseTimelines(current, rows[0]?.['content'] ?? '') ?? { current, left: [] };
}

async function historyRows(session: Session, timeline: number, run: Run): Promise<readonly Row[]> {
  try {
    return await session.query(`TIMELINE_HISTORY ${timeline}`, run);
  } catch (error) {
    if (sqlState(error) === SqlState.fileGone) return [];
    throw error;
  }
}

/** Which server's log a lineage is of. */
export function systemIdOf({ lineage }: Position): string {
  return lineage.split('-')[0] ?? '';
}

/** What would be wrong in taking the server's log for the one that goes on from `after`; undefined when it is proven. */
export function whyNotOn({ systemId, timelines, flushed }: Identity, after: Position): string | undefined {
  const expectedId = systemIdOf(after);
  const place = placeOf(after);
  if (place === undefined) return `its position ${JSON.stringify(after.resume)} is none of PostgreSQL`;
  if (systemId !== expectedId) {
    return `the server is another one: its system identifier is ${systemId}, and ${expectedId} was recorded`;
  }
  if (!isOnTheWay(timelines, place)) {
    return `the server’s history left timeline ${place.timeline} before ${formatLsn(place.lsn)}, up to where it was recorded`;
  }
  if (flushed >= place.lsn) return undefined;
  return `the server’s log ends at ${formatLsn(flushed)}, before ${formatLsn(place.lsn)}, up to where it was recorded: it is an older copy`;
}

/** The last place up to which the server's log is the one that led to a position, where it left that before. */
export function partedPosition({ systemId, timelines }: Identity, after: Position): Position | undefined {
  const place = placeOf(after);
  if (place === undefined || systemId !== systemIdOf(after)) return undefined;
  const parted = partedAt(timelines, place);
  return parted && positionOf(parted, after.lineage);
}

/** @throws POSITION_LOST unless the server's log provably goes on from `after` */
export function assertGoesOn(identity: Identity, after: Position, server: string): void {
  const reason = whyNotOn(identity, after);
  if (reason !== undefined) throw positionLost(`${server}: ${reason}`);
}
