import { must } from '../../../core/must.ts';
import type { Run } from '../../../core/run.ts';
import type { Session } from '../connection.ts';
import { unreachable } from '../errors.ts';
import { addressName } from '../place.ts';

const LEAST_VERSION = 130_000;

/** What is asked once of a server. */
export type ServerFacts = {
  readonly versionNumber: number;
  readonly segmentBytes: bigint;
  readonly pageBytes: bigint;
};

const FACTS = `
SELECT pg_catalog.current_setting('server_version_num') AS version,
  (SELECT setting FROM pg_catalog.pg_settings WHERE name = 'wal_segment_size') AS segment,
  (SELECT setting FROM pg_catalog.pg_settings WHERE name = 'wal_block_size') AS page`;

/** @throws STORE_UNREACHABLE when the server is older than what is supported */
export async function askFacts(sql: Session, run: Run): Promise<ServerFacts> {
  const [row] = await sql.query(FACTS, run);
  const versionNumber = Number(row?.['version']);
  if (!(versionNumber >= LEAST_VERSION)) {
    throw unreachable(`${addressName(sql.address)} is PostgreSQL ${row?.['version']}; it must be 13 or newer`, {
      disposition: 'stop',
    });
  }
  return {
    versionNumber,
    segmentBytes: BigInt(must(row?.['segment'], 'the size of a segment')),
    pageBytes: BigInt(must(row?.['page'], 'the size of a page')),
  };
}
