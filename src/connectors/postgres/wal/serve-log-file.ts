import { existsSync } from 'node:fs';
import { copyFile, mkdir, mkdtemp, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { systemCode } from '../../../core/errors.ts';
import type { Position } from '../../../core/position.ts';
import type { LogFileRequest, StoredLog } from '../../../core/restorer.ts';
import type { Run } from '../../../core/run.ts';
import { must } from '../../../core/must.ts';
import { placeOf, positionOf } from '../lsn.ts';
import type { WalPlace } from '../lsn.ts';
import { formatHistory, parseHistoryName } from './history.ts';
import type { TimelineSwitch } from './history.ts';
import { RecordWalk } from './record-walk.ts';
import { SegmentWriter } from './segment-writer.ts';
import { parseSegmentName } from './shape.ts';
import type { WalShape } from './shape.ts';
import { TablespacePatch } from './tablespace-patch.ts';
import { isTablespaceRecord } from './tablespace-record.ts';
import { Timelines } from './timelines.ts';
import { walBytes } from './wal-bytes.ts';

type Log = Omit<StoredLog, 'base'>;

/** What a base says: `history` is that of its own timeline, which may have begun before the log. */
export type ServedFrom = { readonly shape: WalShape; readonly history: readonly TimelineSwitch[] | undefined };

/**
 * Gives a server a file of its log, for `restore_command`. The newest one is given with zeros behind what is there, and may be asked for again. False when
 * the repository does not have it, or not yet: only then may the server be told so, because without the file it takes the log for ended.
 * @throws REPOSITORY_DAMAGED and whatever reading the log throws
 */
export async function serveLogFile(
  log: Log,
  { shape, history: known }: ServedFrom,
  request: LogFileRequest,
  run: Run,
): Promise<boolean> {
  const { name, path, cacheFolder } = request;
  const history = parseHistoryName(name);
  if (history !== undefined) {
    const told = await switchesIn(log, run);
    const earlier = (known ?? []).filter(({ from }) => told.every((later) => from < later.from));
    const all = [...earlier, ...told];
    const newest = placeAt(log.stretches.at(-1)?.upTo).timeline;
    const switches = all.filter(({ from }) => from < history);
    const isOurs = history === newest || all.some(({ from }) => from === history);
    if (switches.length === 0 || !isOurs) return false;
    await writeFile(path, formatHistory(switches), { mode: 0o600 });
    return true;
  }
  const segment = parseSegmentName(name, shape.segmentBytes);
  const [first, last] = [log.stretches.at(0), log.stretches.at(-1)];
  if (segment === undefined || first === undefined || last === undefined) return false;
  await mkdir(cacheFolder, { recursive: true, mode: 0o700 });
  if (await moveFile(join(cacheFolder, name), path)) return true;
  await forgetBefore(cacheFolder, segment.start, shape.segmentBytes);
  const folder = await mkdtemp(join(cacheFolder, `making-${process.pid}-`));
  try {
    const made = await makeFiles(log, { ...request, ...segment, shape, folder }, run);
    for (const file of made.whole) await moveFile(join(folder, file), join(cacheFolder, file));
    if (made.whole.includes(name)) return await moveFile(join(cacheFolder, name), path);
    return made.last === name && (await moveFile(join(folder, name), path));
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

type Making = LogFileRequest & {
  readonly timeline: number;
  readonly start: bigint;
  readonly folder: string;
  readonly shape: WalShape;
};

/** The files from the one that is asked for on, in `folder`. `last` has zeros at its end, or is whole by chance. */
async function makeFiles(
  log: Log,
  { timeline, start, ahead, folder, shape }: Making,
  run: Run,
): Promise<{ readonly whole: readonly string[]; readonly last: string | undefined }> {
  const { stretches } = log;
  const switches = await switchesIn(log, run);
  const newest = placeAt(stretches.at(-1)?.upTo);
  const oldest = placeAt(stretches.at(0)?.after);
  const segment = BigInt(shape.segmentBytes);
  // Of a timeline that was left there is nothing behind the point where it was left.
  const left = switches.find(({ from }) => from === timeline)?.at;
  const wantedEnd = start + segment * BigInt(1 + ahead);
  const end = [wantedEnd, newest.lsn, left ?? newest.lsn].reduce((one, other) => (one < other ? one : other));
  const from = start > oldest.lsn ? start : oldest.lsn;
  if (timeline > newest.timeline || from >= end || from >= start + segment) return { whole: [], last: undefined };
  const { lineage } = must(stretches.at(0), 'a stretch of the log').after;
  const after = positionOf({ timeline: timelineAt(switches, from, newest.timeline), lsn: from }, lineage);
  const upTo = positionOf({ timeline: timelineAt(switches, end, newest.timeline), lsn: end }, lineage);
  const timelines = new Timelines(oldest.timeline, undefined);
  await using writer = new SegmentWriter({ folder, shape, timelines, durable: false });
  const patch = new TablespacePatch(new RecordWalk({ shape, isWanted: isTablespaceRecord }), writer);
  const whole: string[] = [];
  const reader = { read: (readRun: Run) => log.read(after, upTo, readRun) };
  for await (const piece of walBytes(reader, end, run)) {
    const patched = await patch.apply(piece, run);
    for await (const file of writer.add(patched, run)) if (file.kind === 'segment') whole.push(file.name);
  }
  let last: string | undefined;
  for await (const file of writer.finish()) last = file.name;
  return { whole, last };
}

/** Where timelines were left, oldest first: only the stretches in which that happens are read. */
async function switchesIn(log: Log, run: Run): Promise<readonly TimelineSwitch[]> {
  const switches: TimelineSwitch[] = [];
  for (const { after, upTo } of log.stretches) {
    let before = placeAt(after);
    if (before.timeline === placeAt(upTo).timeline) continue;
    for await (const batch of log.read(after, upTo, run)) {
      for (const { commit } of batch) {
        const place = placeAt(commit.position);
        if (place.timeline !== before.timeline) switches.push({ from: before.timeline, at: before.lsn });
        before = place;
      }
    }
  }
  return switches;
}

/** Which timeline wrote what lies before a place. */
function timelineAt(switches: readonly TimelineSwitch[], lsn: bigint, newest: number): number {
  return switches.find(({ at }) => lsn <= at)?.from ?? newest;
}

function placeAt(position: Position | undefined): WalPlace {
  return must(position && placeOf(position), 'a place in the log of a PostgreSQL server');
}

async function forgetBefore(cacheFolder: string, start: bigint, segmentBytes: number): Promise<void> {
  for (const name of await readdir(cacheFolder)) {
    const segment = parseSegmentName(name, segmentBytes);
    const isOld = segment === undefined ? isAbandoned(name) : segment.start < start;
    if (isOld) await rm(join(cacheFolder, name), { recursive: true, force: true });
  }
}

/** Of a process that is gone: another one may give files to another server at the same time. */
function isAbandoned(name: string): boolean {
  const [, pid] = /^making-([0-9]+)-/.exec(name) ?? [];
  return pid !== undefined && existsSync('/proc/self') && !existsSync(`/proc/${pid}`);
}

/** False when it is not there. */
async function moveFile(from: string, to: string): Promise<boolean> {
  try {
    await rename(from, to);
    return true;
  } catch (error) {
    const code = systemCode(error);
    if (code === 'ENOENT') return false;
    if (code !== 'EXDEV') throw error;
  }
  await copyFile(from, to);
  await rm(from);
  return true;
}
