import { randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { must } from '../../src/core/must.ts';
import type { Position } from '../../src/core/position.ts';
import type { Base, BaseEnd, ObservationLog, Recorder } from '../../src/core/recorder.ts';
import type { Run, Runtime } from '../../src/core/run.ts';
import { openFilesRecorder } from '../../src/connectors/files/recorder.ts';
import { createSystemClock } from '../../src/flow/clock.ts';

/*
 * What it costs to observe a folder of many files: the base that it starts from, the first look (a full scan that sets the
 * watches), idle looks every five seconds, and looks each second while files change at a rate. `lateMs`: from a change to the
 * end of the observation that tells it, contents not read. Each phase prints one line of JSON.
 */

const HELP = 'node bench/micro/observe-files.ts [--files 100000] [--rate 1000] [--seconds 30]';
const PER_FOLDER = 50;

const run: Run = { signal: new AbortController().signal };
const runtime: Runtime = {
  clock: createSystemClock(),
  random: (sizeBytes) => randomBytes(sizeBytes),
  logger: { log: (level, message, fields) => console.error(level, message, fields) },
  temporaryFolder: tmpdir(),
};

type Measured = { readonly wallMs: number; readonly cpuMs: number };

async function measured(work: () => Promise<void>): Promise<Measured> {
  const [wall, cpu] = [performance.now(), process.cpuUsage()];
  await work();
  const { user, system } = process.cpuUsage(cpu);
  return { wallMs: Math.round(performance.now() - wall), cpuMs: Math.round((user + system) / 1000) };
}

function print(phase: string, facts: Readonly<Record<string, unknown>>): void {
  console.log(JSON.stringify({ phase, ...facts, rssMb: Math.round(process.memoryUsage.rss() / 2 ** 20) }));
}

async function drain(base: Base): Promise<{ readonly count: number; readonly end: BaseEnd }> {
  let count = 0;
  for await (const batch of base.entries) {
    for (const entry of batch) entry.describe();
    count += batch.length;
  }
  return { count, end: await base.finish(run) };
}

async function openLog(recorder: Recorder, after: Position): Promise<ObservationLog> {
  return await must(recorder.openObservations, 'observations').call(recorder, after, run);
}

async function look(log: ObservationLog): Promise<number> {
  await using observation = await log.observe(run);
  return observation === undefined ? 0 : (await drain(observation)).count;
}

function pathOf(root: string, index: number): string {
  return join(root, `folder-${Math.floor(index / PER_FOLDER)}`, `some-file-${index}.txt`);
}

function makeFiles(root: string, files: number): void {
  for (let index = 0; index < files; index++) {
    if (index % PER_FOLDER === 0) mkdirSync(join(root, `folder-${index / PER_FOLDER}`), { recursive: true });
    writeFileSync(pathOf(root, index), `file ${index}`);
  }
}

async function idle(log: ObservationLog, seconds: number): Promise<void> {
  const cost = await measured(async () => {
    for (let passed = 0; passed < seconds; passed += 5) {
      await sleep(5_000);
      await look(log);
    }
  });
  print('idle', { ...cost, corePercent: (100 * cost.cpuMs) / cost.wallMs });
}

async function busy(log: ObservationLog, root: string, { files, rate, seconds }: Options): Promise<void> {
  const late: number[] = [];
  let told = 0;
  const cost = await measured(async () => {
    for (let second = 0; second < seconds; second++) {
      const began = performance.now();
      const changed: number[] = [];
      for (let burst = 0; burst < 10; burst++) {
        for (let index = 0; index < rate / 10; index++) {
          writeFileSync(pathOf(root, Math.floor(Math.random() * files)), `changed ${second} ${index}`);
        }
        changed.push(performance.now());
        await sleep(Math.max(began + (burst + 1) * 100 - performance.now(), 0));
      }
      told += await look(log);
      const now = performance.now();
      late.push(...changed.map((at) => now - at));
    }
  });
  late.sort((left, right) => left - right);
  const p99 = late[Math.floor(late.length * 0.99)] ?? 0;
  print('busy', { ...cost, rate, told, corePercent: (100 * cost.cpuMs) / cost.wallMs, lateP99Ms: Math.round(p99) });
}

type Options = { readonly files: number; readonly rate: number; readonly seconds: number };

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      files: { type: 'string' },
      rate: { type: 'string' },
      seconds: { type: 'string' },
      help: { type: 'boolean' },
    },
  });
  if (values.help === true) return console.log(HELP);
  const options = {
    files: Number(values.files ?? 100_000),
    rate: Number(values.rate ?? 1_000),
    seconds: Number(values.seconds ?? 30),
  };
  const folder = mkdtempSync(join(tmpdir(), 'observe-files-'));
  try {
    const [root, stateFolder] = [join(folder, 'store'), join(folder, 'state')];
    mkdirSync(stateFolder);
    makeFiles(root, options.files);
    await sleep(200);
    const store = {
      folder: root,
      include: [],
      exclude: [],
      oneFileSystem: false,
      cacheDirTag: false,
      excludeFolders: [],
    };
    await using recorder = openFilesRecorder(store, { runtime, stateFolder });
    await using base = await recorder.openBase(run);
    let end: BaseEnd | undefined;
    const cost = await measured(async () => {
      ({ end } = await drain(base));
    });
    print('base', cost);
    const log = await openLog(recorder, must(end, 'an end').cut);
    const first = await measured(async () => {
      await look(log);
    });
    print('first look', first);
    await idle(log, options.seconds);
    await busy(log, root, options);
    await log[Symbol.asyncDispose]();
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

await main();
