import { TidemarkError } from '../../core/errors.ts';
import type { BaseReader } from '../../core/restorer.ts';
import type { Run } from '../../core/run.ts';
import { parseControlFile } from './control-file.ts';
import type { ControlFile } from './control-file.ts';
import { parseLsn } from './lsn.ts';
import { historyName, parseHistory } from './wal/history.ts';
import type { TimelineSwitch } from './wal/history.ts';
import type { WalShape } from './wal/shape.ts';

/** What a base says of the server that it was taken from. */
export type BaseFacts = {
  readonly shape: WalShape;
  readonly control: ControlFile;
  /** Where recovery begins: a record starts there. */
  readonly redo: bigint;
  /** The record of the base's checkpoint, which recovery reads first. */
  readonly checkpoint: bigint;
  readonly timeline: number;
  /** Where that timeline comes from; undefined when the base does not say. */
  readonly history: readonly TimelineSwitch[] | undefined;
  /** Folders of tablespaces on that host, by OID. */
  readonly tablespaces: ReadonlyMap<string, string>;
};

const MAX_BYTES = 1 << 20;

type Files = Pick<BaseReader, 'find' | 'read'>;

/** @throws REPOSITORY_DAMAGED when the base is not one of a PostgreSQL server */
export async function readBaseFacts(base: Files, run: Run): Promise<BaseFacts> {
  const majorVersion = Number((await readText(base, 'PG_VERSION', run)).trim());
  const control = parseControlFile(await read(base, 'global/pg_control', run));
  const label = await readText(base, 'backup_label', run);
  const redo = parseLsn(/^START WAL LOCATION: (\S+)/m.exec(label)?.[1] ?? '');
  const checkpoint = parseLsn(/^CHECKPOINT LOCATION: (\S+)/m.exec(label)?.[1] ?? '');
  const timeline = Number(/^START TIMELINE: ([0-9]+)$/m.exec(label)?.[1] ?? control.timeline);
  if (redo === undefined || !Number.isInteger(majorVersion)) throw damaged('backup_label or PG_VERSION');
  const history = await findText(base, `pg_wal/${historyName(timeline)}`, run);
  return {
    shape: {
      majorVersion,
      systemIdentifier: control.systemIdentifier,
      pageBytes: control.walPageBytes,
      segmentBytes: control.segmentBytes,
    },
    control,
    redo,
    checkpoint: checkpoint ?? redo,
    timeline,
    history: history === undefined ? undefined : parseHistory(Buffer.from(history)),
    tablespaces: parseTablespaceMap((await findText(base, 'tablespace_map', run)) ?? ''),
  };
}

/** A line each: the OID, a blank and the path, in which a backslash quotes line ends and itself. */
function parseTablespaceMap(text: string): ReadonlyMap<string, string> {
  const found = new Map<string, string>();
  for (const [, oid = '', path = ''] of text.matchAll(/^([0-9]+) ((?:\\[^]|[^\\\n])*)\n?/gm)) {
    found.set(oid, path.replaceAll(/\\([^])/g, '$1'));
  }
  return found;
}

async function read(base: Files, name: string, run: Run): Promise<Uint8Array> {
  const entry = await base.find(Buffer.from(name), run);
  if (entry?.content === undefined || entry.content.sizeBytes > MAX_BYTES) throw damaged(name);
  return Buffer.concat(await Array.fromAsync(base.read(entry.content, run)));
}

async function readText(base: Files, name: string, run: Run): Promise<string> {
  return Buffer.from(await read(base, name, run)).toString();
}

async function findText(base: Files, name: string, run: Run): Promise<string | undefined> {
  const entry = await base.find(Buffer.from(name), run);
  return entry?.content === undefined ? undefined : await readText(base, name, run);
}

function damaged(what: string): TidemarkError {
  return new TidemarkError('REPOSITORY_DAMAGED', `the base of the PostgreSQL server has no valid ${what}`);
}
