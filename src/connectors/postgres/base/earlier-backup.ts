import { must } from '../../../core/must.ts';
import type { EarlierBase } from '../../../core/recorder.ts';
import type { StoredContent } from '../../../core/restorer.ts';
import type { Run } from '../../../core/run.ts';
import { readBaseFacts } from '../base-facts.ts';
import type { Session } from '../connection.ts';
import { unreachable } from '../errors.ts';
import { systemIdOf } from '../log/identity.ts';
import { formatLsn } from '../lsn.ts';
import type { WalPlace } from '../lsn.ts';
import { addressName } from '../place.ts';
import { readBasesOfChanges } from '../server-facts.ts';
import { MANIFEST_NAME } from './backup-manifest.ts';
import type { RelationShape } from './incremental-file.ts';

/** An earlier base of the same server, which it is asked for the changes since. */
export type EarlierBackup = {
  readonly base: EarlierBase;
  readonly manifest: StoredContent;
  readonly shape: RelationShape;
  /** How many bases in a row, up to it, read only what had changed. */
  readonly basesOfChanges: number;
  /** Where its log begins: whatever changed from there on may not be in it. */
  readonly start: WalPlace;
};

/** The first is there from PostgreSQL 17 on. */
const SETTINGS = `
SELECT name, setting FROM pg_catalog.pg_settings
WHERE name IN ('summarize_wal', 'data_checksums', 'block_size', 'segment_size')`;

const SUMMARIES = `
SELECT count(*) AS found FROM pg_catalog.pg_available_wal_summaries() WHERE tli = $1 AND start_lsn = $2::pg_catalog.pg_lsn`;

/** Settings of a server by name, as `pg_settings` has them. */
type Settings = ReadonlyMap<string, string>;

/** What `findEarlierBackup` has to know of a server. */
export async function askBackupSettings(sql: Session, run: Run): Promise<Settings> {
  const rows = await sql.query(SETTINGS, run);
  return new Map(rows.map((row) => [row['name'] ?? '', row['setting'] ?? '']));
}

/**
 * What the server can be asked for the changes since; undefined where it does not note them, where the base is not one of its files and of this lineage, and
 * where it is time that all is read. @throws REPOSITORY_DAMAGED
 */
export async function findEarlierBackup(
  base: EarlierBase,
  {
    settings,
    lineage,
    readAllEvery,
  }: { readonly settings: Settings; readonly lineage: string; readonly readAllEvery: number },
  run: Run,
): Promise<EarlierBackup | undefined> {
  if (base.cut.lineage !== lineage || settings.get('summarize_wal') !== 'on') return undefined;
  const manifest = (await base.find(Buffer.from(MANIFEST_NAME), run))?.content;
  if (manifest === undefined) return undefined;
  const basesOfChanges = await readBasesOfChanges(base, run);
  if (basesOfChanges + 1 >= readAllEvery) return undefined;
  const { shape, control, redo, timeline } = await readBaseFacts(base, run);
  if (String(shape.systemIdentifier) !== systemIdOf(base.cut)) return undefined;
  // pg_checksums gives pages their checksums without a word in the log.
  if (settings.get('data_checksums') !== (control.hasChecksums ? 'on' : 'off')) return undefined;
  const number = (name: string): number => Number(must(settings.get(name), 'a setting of every server'));
  return {
    base,
    manifest,
    basesOfChanges,
    shape: { blockBytes: number('block_size'), blocksPerFile: number('segment_size') },
    start: { timeline, lsn: redo },
  };
}

/**
 * A server notes changes from one checkpoint to the next, and a base begins at one. Where none of its notes begins there, its log is not the one that the base was
 * taken from: it may be an older copy that has gone on by itself under the same name. Asked once the server has begun, and so has all notes.
 * @throws STORE_UNREACHABLE
 */
export async function assertNotedSince({ timeline, lsn }: WalPlace, sql: Session, run: Run): Promise<void> {
  const [row] = await sql.query(SUMMARIES, run, [timeline, formatLsn(lsn)]);
  if (Number(row?.['found']) > 0) return;
  throw unreachable(`${addressName(sql.address)} has no summary of its log that begins at ${formatLsn(lsn)}`);
}
