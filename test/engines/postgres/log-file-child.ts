import { readFileSync } from 'node:fs';
import { must } from '../../../src/core/must.ts';
import { parseLsn, positionOf } from '../../../src/connectors/postgres/lsn.ts';
import { serveLogFile } from '../../../src/connectors/postgres/wal/serve-log-file.ts';
import { LINEAGE, logOf, run, switchesOf } from './fixture.ts';

/** Stands in for the command that gives a server a file of the log: `FOLDER-OF-SERVER FILE-WITH-HEAD CACHE NAME PATH`. The file has a line each: from, to. */
const [folder = '', headFile = '', cacheFolder = '', name = '', path = ''] = process.argv.slice(2);
const [from, to] = readFileSync(headFile, 'utf8')
  .trim()
  .split('\n')
  .map((line) => must(parseLsn(line), 'a position'));
const switches = switchesOf(folder);
const timelineAt = (lsn: bigint): number =>
  switches.find(({ end }) => lsn <= end)?.timeline ?? (switches.at(-1)?.timeline ?? 0) + 1;
const place = (lsn: bigint) => positionOf({ lsn, timeline: timelineAt(lsn) }, LINEAGE);
const [start, end] = [must(from, 'a start'), must(to, 'an end')];
const shape = { majorVersion: 15, systemIdentifier: 0n, pageBytes: 8192, segmentBytes: 16 << 20 };
const found = await serveLogFile(
  {
    stretches: [{ after: place(start), upTo: place(end) }],
    read: (after, upTo) => logOf({ folder }, { from: BigInt(after.order), to: BigInt(upTo.order) }).read(run),
  },
  { shape, history: undefined },
  { name, path, cacheFolder, ahead: 3 },
  run,
);
process.exitCode = found ? 0 : 1;
