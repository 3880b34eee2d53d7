import { createHash, randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { toHex } from '../src/core/bytes.ts';
import { stateFolderIn } from './harness/state-folder.ts';
import type { Run, Runtime } from '../src/core/run.ts';
import { createSystemClock } from '../src/flow/clock.ts';
import { openLocalObjectStore } from '../src/objects/local/object-store.ts';
import { openChunkIndex } from '../src/repository/index/chunk-index.ts';
import type { ChunkIndex } from '../src/repository/index/chunk-index.ts';
import { publishIndex } from '../src/repository/index/publish.ts';
import { readCredential } from '../src/repository/keys/credential.ts';
import { generateTree } from './data/generate.ts';
import { idOf } from './data/ids.ts';
import { describeMachine } from './harness/machine.ts';
import { runMain } from './harness/main.ts';
import { measure } from './harness/measure.ts';
import type { Sample } from './harness/measure.ts';
import { openMedium } from './harness/medium.ts';
import { saveReport } from './report/report.ts';
import { plainTable, sizeText, timeText } from './report/text.ts';
import type { Table } from './report/text.ts';
import { TIDEMARK } from './tools/tidemark.ts';
import type { Place } from './tools/tool.ts';

/*
 * What commands cost on a repository that holds very many chunks. A real repository with a backup of a small tree gets index objects of
 * chunks that were never stored, and packs to match that no base needs: what every command reads before it does anything, and what a
 * sweep has to judge.
 */

const HELP = `node bench/large-index.ts [options]
  --chunks N     (default 10000000)
  --per-pack N   (default 64)
  --no-save      print only`;

const CHUNK = 0;
const PACK = 2;
const ID_BYTES = 32;
const LOOKUPS = 1_000_000;
const MUST_PEAK_BYTES = 400 * 1_024 * 1_024;
const MUST_LOOKUPS = 200_000;
/** Older than the lease, so that a sweep may condemn them. */
const PACK_AGE_S = 7_200;

interface Setting {
  readonly place: Place;
  readonly chunks: number;
  readonly perPack: number;
}

interface CommandSample extends Sample {
  readonly command: string;
}

function runtimeOf(): Runtime {
  return {
    clock: createSystemClock(),
    random: (sizeBytes) => new Uint8Array(randomBytes(sizeBytes)),
    logger: { log: (level, message, fields) => console.error(level, message, fields) },
    temporaryFolder: tmpdir(),
  };
}

function addChunks(index: ChunkIndex, pack: number, { chunks, perPack }: Setting): void {
  const number = index.addPack(idOf(pack, PACK));
  const end = Math.min(chunks, (pack + 1) * perPack);
  for (let chunk = pack * perPack; chunk < end; chunk += 1) {
    const offset = chunk % perPack;
    index.add(idOf(chunk, CHUNK), { pack: number, blockOffset: 104, blockBytes: 1 << 20, offset, sizeBytes: 1 });
  }
}

/** Publishes the made chunks as the writer that the first backup was of, and puts their packs. Returns look-ups per second. */
async function enlarge(setting: Setting, run: Run): Promise<number> {
  const { place, chunks, perPack } = setting;
  const runtime = runtimeOf();
  const repository = TIDEMARK.repository(place);
  const state = stateFolderIn(join(place.home, 'state'));
  const path = join(state, 'writer.json');
  const credential = readCredential(readFileSync(path), path);
  if (credential.role !== 'writer') throw new Error('the host has no writer’s credential');
  await using objects = await openLocalObjectStore({ folder: repository, runtime }, run);
  const folder = join(place.home, 'made-index');
  await using index = await openChunkIndex({ folder, identity: 'bench', runtime }, run);
  const packs = join(repository, 'packs', credential.id);
  const old = Date.now() / 1_000 - PACK_AGE_S;
  for (let pack = 0; pack * perPack < chunks; pack += 1) {
    addChunks(index, pack, setting);
    await index.flush(run);
    const file = join(packs, toHex(idOf(pack, PACK)));
    writeFileSync(file, 'made');
    utimesSync(file, old, old);
  }
  const session = createHash('sha256').update('a session that ended').digest('hex').slice(0, 32);
  const { random } = runtime;
  await publishIndex({ index, objects, credential: credential.id, session, idKey: credential.keys.idKey, random }, run);
  return lookUpsPerSecond(index, chunks);
}

/** Of ids drawn from everywhere, each from a page that is unlikely to be in memory. */
function lookUpsPerSecond(index: ChunkIndex, chunks: number): number {
  const ids = new Uint8Array(LOOKUPS * ID_BYTES);
  for (let turn = 0; turn < LOOKUPS; turn += 1) {
    ids.set(idOf((Math.imul(turn, 0x9e3779b1) >>> 0) % chunks, CHUNK), turn * ID_BYTES);
  }
  const startedMs = performance.now();
  for (let at = 0; at < ids.byteLength; at += ID_BYTES) {
    if (index.findPack(ids.subarray(at, at + ID_BYTES)) < 0) throw new Error('a chunk was not found');
  }
  return (LOOKUPS * 1_000) / (performance.now() - startedMs);
}

/** Each command as a host that was never here before, and as one that has its index already. */
async function takeSamples(setting: Setting, scratch: string, run: Run): Promise<CommandSample[]> {
  const { place } = setting;
  const samples: CommandSample[] = [];
  const forget = (): void => rmSync(join(place.home, 'state'), { recursive: true, force: true });
  const take = async (command: string, line: Parameters<typeof measure>[0]): Promise<void> => {
    const sample = await measure(line, { ...run, scratch });
    samples.push({ ...sample, command });
    console.error(`${command.padEnd(24)} ${timeText(sample.wallMs)}  ${sizeText(sample.peakRssBytes)}`);
  };
  const into = (name: string): string => {
    const folder = join(place.home, name);
    mkdirSync(folder);
    return folder;
  };
  forget();
  await take('backup, new host', TIDEMARK.backup(place, 2));
  await take('backup', TIDEMARK.backup(place, 3));
  forget();
  await take('restore, new host', TIDEMARK.restore(place, 3, into('first')));
  await take('restore', TIDEMARK.restore(place, 3, into('second')));
  const { argv, ...rest } = TIDEMARK.list(place);
  await take('sweep', { ...rest, argv: [...argv.slice(0, -1), 'sweep'] });
  await take('sweep --apply', { ...rest, argv: [...argv.slice(0, -1), 'sweep', '--apply'] });
  return samples;
}

function tableOf(samples: readonly CommandSample[]): Table {
  return {
    title: 'Commands',
    columns: ['command', 'time', 'processor time', 'peak memory', `must: ≤ ${sizeText(MUST_PEAK_BYTES)}`],
    rows: samples.map(({ command, wallMs, userMs, systemMs, peakRssBytes }) => [
      command,
      timeText(wallMs),
      timeText(userMs + systemMs),
      sizeText(peakRssBytes),
      peakRssBytes <= MUST_PEAK_BYTES ? 'yes' : 'NO',
    ]),
  };
}

async function main(args: readonly string[], signal: AbortSignal): Promise<void> {
  const { values } = parseArgs({
    args: [...args],
    allowNegative: true,
    options: {
      chunks: { type: 'string', default: '10000000' },
      'per-pack': { type: 'string', default: '64' },
      save: { type: 'boolean', default: true },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return console.log(HELP);
  using scratch = openMedium('tmpfs');
  using medium = openMedium('tmpfs');
  const place = { source: join(medium.path, 'source'), home: join(medium.path, 'home') };
  for (const folder of [place.source, place.home]) mkdirSync(folder);
  generateTree(place.source, { files: 2_000, sizeBytes: 32 * 1_024 * 1_024, seed: 1, shape: 'mixed' });
  TIDEMARK.prepare(place);
  const run: Run = { signal };
  for (const command of [TIDEMARK.init(place), TIDEMARK.backup(place, 1)]) {
    await measure(command, { signal, scratch: scratch.path });
  }
  const setting = { place, chunks: Number(values.chunks), perPack: Number(values['per-pack']) };
  const perSecond = Math.round(await enlarge(setting, run));
  const lookUps = `${perSecond.toLocaleString('en-US')} look-ups a second (must: ≥ ${MUST_LOOKUPS.toLocaleString('en-US')}: ${perSecond >= MUST_LOOKUPS ? 'yes' : 'NO'}).`;
  const table = tableOf(await takeSamples(setting, scratch.path, run));
  console.log(`${plainTable(table)}\n${lookUps}`);
  if (!values.save) return;
  saveReport({
    name: 'index',
    title: 'An index of many chunks',
    notes: [
      `${setting.chunks.toLocaleString('en-US')} chunks in packs of ${setting.perPack} that no base needs, in the repository of a tree of 2,000 files; everything in memory (tmpfs).`,
      '"New host": nothing is left of earlier commands, so the whole index is fetched first.',
      lookUps,
    ],
    machine: describeMachine(),
    tables: [table],
    samples: { commands: table.rows.length, perSecond, samples: table.rows },
  });
}

await runMain(main);
