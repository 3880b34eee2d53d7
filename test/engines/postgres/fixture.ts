import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { lstatSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { encodeAttributes } from '../../../src/connectors/postgres/attributes.ts';
import { parseLsn, positionOf } from '../../../src/connectors/postgres/lsn.ts';
import { parseSegmentName } from '../../../src/connectors/postgres/wal/shape.ts';
import { compareBytes } from '../../../src/core/bytes.ts';
import { logBytes } from '../../../src/core/log-bytes.ts';
import { must } from '../../../src/core/must.ts';
import type { BaseReader, LoggedTransaction, LogReader, StoredEntry } from '../../../src/core/restorer.ts';
import type { Runtime } from '../../../src/core/run.ts';
import { createSystemClock } from '../../../src/flow/clock.ts';
import { memoryContent, memoryReader } from '../../../src/testing/tree/memory-base.ts';
import type { PostgresServer } from '../../servers/postgres.ts';

const runFile = promisify(execFile);

export const run = { signal: new AbortController().signal };
export const runtime: Runtime = {
  clock: createSystemClock(),
  random: (sizeBytes) => randomBytes(sizeBytes),
  logger: { log: () => {} },
  temporaryFolder: '/nowhere',
};
export const LINEAGE = 'a-lineage';

export type TakenBase = {
  readonly base: BaseReader;
  readonly start: bigint;
  readonly cut: bigint;
  readonly timeline: number;
};

/** A base by PostgreSQL's own program, as if it had been recorded. `folder` must not exist; the server's user must be able to write it. */
export async function takeBase(
  server: PostgresServer,
  folder: string,
  checkpoint: 'fast' | 'spread' = 'fast',
): Promise<TakenBase> {
  const tablespaces = await server.query(
    "SELECT oid, pg_tablespace_location(oid) AS path FROM pg_tablespace WHERE spcname NOT LIKE 'pg_%'",
  );
  const mapping = tablespaces.map(({ oid, path }) => `--tablespace-mapping=${String(path)}=${folder}-${String(oid)}`);
  await server.runClient('pg_basebackup', ['-D', folder, '-Fp', '-X', 'none', '-c', checkpoint, ...mapping]);
  const map = tablespaces.map(({ oid, path }) => `${String(oid)} ${String(path)}\n`).join('');
  const extra = map === '' ? [] : [fileEntry('tablespace_map', Buffer.from(map), 0)];
  return readBase(folder, server.folder, extra);
}

/** The base in a folder, and the history of its timeline from the server's. */
export function readBase(folder: string, serverFolder: string, extra: readonly StoredEntry[] = []): TakenBase {
  const manifest = readFileSync(join(folder, 'backup_manifest'), 'utf8');
  const [, end = ''] = /"End-LSN": "([^"]+)"/.exec(manifest) ?? [];
  const [, start = ''] = /"Start-LSN": "([^"]+)"/.exec(manifest) ?? [];
  const timeline = Number(/"Timeline": ([0-9]+)/.exec(manifest)?.[1]);
  const entries = [...entriesOf(folder, ''), ...extra];
  const historyFile = `${timeline.toString(16).toUpperCase().padStart(8, '0')}.history`;
  if (timeline > 1) {
    entries.push(fileEntry(`pg_wal/${historyFile}`, readFileSync(join(serverFolder, 'pg_wal', historyFile)), 0));
  }
  entries.sort((left, right) => compareBytes(left.name, right.name));
  return {
    base: memoryReader(entries),
    start: must(parseLsn(start), 'the start of a base'),
    cut: must(parseLsn(end), 'the end of a base'),
    timeline,
  };
}

function entriesOf(root: string, path: string): StoredEntry[] {
  return readdirSync(join(root, path)).flatMap((name): StoredEntry[] => {
    const inner = path === '' ? name : `${path}/${name}`;
    const status = statSync(join(root, inner));
    const mtimeS = Math.floor(status.mtimeMs / 1000);
    if (!status.isDirectory()) return [fileEntry(inner, readFileSync(join(root, inner)), mtimeS)];
    const inside = entriesOf(root, inner);
    if (lstatSync(join(root, inner)).isSymbolicLink()) return inside;
    const attributes = encodeAttributes({ type: 'folder', mode: 0o700, sizeBytes: 0, mtimeS });
    return [{ name: Buffer.from(inner), attributes }, ...inside];
  });
}

function fileEntry(name: string, bytes: Uint8Array, mtimeS: number): StoredEntry {
  const attributes = encodeAttributes({ type: 'file', mode: 0o600, sizeBytes: bytes.byteLength, mtimeS });
  if (bytes.byteLength === 0) return { name: Buffer.from(name), attributes };
  return { name: Buffer.from(name), attributes, content: memoryContent(bytes) };
}

export type LogOptions = {
  readonly from: bigint;
  readonly to: bigint;
  /** Of each transaction of the stored log. */
  readonly pieceBytes?: number;
};

/** The server's log as if it had been recorded, out of the files that it still has. */
export function logOf(server: { readonly folder: string }, options: LogOptions): LogReader {
  return {
    async *read() {
      yield* transactions(server, options);
    },
  };
}

function* transactions(
  server: { readonly folder: string },
  { from, to, pieceBytes = 300_000 }: LogOptions,
): Generator<LoggedTransaction[]> {
  const folder = join(server.folder, 'pg_wal');
  const segmentBytes = statSync(join(folder, segmentsIn(folder)[0] ?? '')).size;
  const switches = switchesIn(folder);
  let [name, bytes] = ['', Buffer.alloc(0)];
  for (let at = from; at < to; ) {
    const { timeline, end } = timelineAt(switches, at);
    const segmentStart = at - (at % BigInt(segmentBytes));
    const segmentEnd = segmentStart + BigInt(segmentBytes);
    const upTo = [to, end ?? to, segmentEnd, at + BigInt(pieceBytes)].reduce((one, other) =>
      one < other ? one : other,
    );
    const wanted = fileOf(folder, segmentStart, segmentBytes);
    if (wanted !== name) bytes = readFileSync(join(folder, wanted));
    name = wanted;
    const piece = bytes.subarray(Number(at - segmentStart), Number(upTo - segmentStart));
    const entry = logBytes(at, piece);
    if ('removed' in entry) throw new Error('bytes are never removed');
    yield [{ entries: [entry], commit: { position: positionOf({ timeline, lsn: upTo }, LINEAGE), atMs: 0 } }];
    at = upTo;
  }
}

function segmentsIn(folder: string): string[] {
  return readdirSync(folder).filter((name) => /^[0-9A-F]{24}$/.test(name));
}

/** Of the newest timeline that has it. */
function fileOf(folder: string, start: bigint, segmentBytes: number): string {
  const found = segmentsIn(folder).filter((name) => parseSegmentName(name, segmentBytes)?.start === start);
  return must(found.sort().at(-1), `the segment at ${start}`);
}

function switchesIn(folder: string): { timeline: number; end: bigint }[] {
  const newest = readdirSync(folder)
    .filter((name) => name.endsWith('.history'))
    .sort()
    .at(-1);
  if (newest === undefined) return [];
  return [...readFileSync(join(folder, newest), 'utf8').matchAll(/^([0-9]+)\t(\S+)/gm)].map(
    ([, timeline, end = '']) => ({
      timeline: Number(timeline),
      end: must(parseLsn(end), 'a switch'),
    }),
  );
}

export function switchesOf(folder: string): { timeline: number; end: bigint }[] {
  return switchesIn(join(folder, 'pg_wal'));
}

function timelineAt(switches: { timeline: number; end: bigint }[], lsn: bigint): { timeline: number; end?: bigint } {
  const found = switches.find(({ end }) => lsn < end);
  return found ?? { timeline: (switches.at(-1)?.timeline ?? 0) + 1 };
}

export async function insertPosition(server: PostgresServer): Promise<bigint> {
  return must(parseLsn(await server.value('SELECT pg_current_wal_insert_lsn()')), 'a position');
}

/** Everything up to the insert position is in the files. */
export async function flush(server: PostgresServer): Promise<void> {
  await server.query("SET synchronous_commit = on; SELECT pg_logical_emit_message(true, 'test', '')");
}

export async function runTool(program: string, args: readonly string[]): Promise<string> {
  return (await runFile(program, args, { maxBuffer: 2 ** 30 })).stdout;
}
