import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { toHex } from '../../src/core/bytes.ts';
import type { Run, Runtime } from '../../src/core/run.ts';
import { createSystemClock } from '../../src/flow/clock.ts';
import { openLocalObjectStore } from '../../src/objects/local/object-store.ts';
import type { ObjectInfo, ObjectStore } from '../../src/objects/object-store.ts';
import { openChunkIndex } from '../../src/repository/index/chunk-index.ts';
import type { ChunkIndex } from '../../src/repository/index/chunk-index.ts';
import { publishIndex } from '../../src/repository/index/publish.ts';
import { RunWriter } from '../../src/repository/index/run-writer.ts';
import { syncIndex } from '../../src/repository/index/sync.ts';
import { idOf } from '../data/ids.ts';

/*
 * What the index of chunks costs at a size: one session that adds all (merges included) and publishes it, look-ups in
 * a fresh process, a merge of everything into one run, reading all records, and a fresh host that reads the index
 * objects. Ids are made, not stored. Each phase is a process of its own, and prints one line of JSON; `peakMb` is the
 * most memory that it had, Node's own 45 MB included.
 */

const HELP = 'node bench/micro/chunk-index.ts [--records 10000000] [--per-pack 64] [--folder DIR]';
const PHASES = ['session', 'open', 'present', 'absent', 'merge', 'records', 'sync'] as const;
const LOOKUPS = 1_000_000;
const CREDENTIAL = 'c'.repeat(32);

type Phase = (typeof PHASES)[number];
type Setting = { readonly folder: string; readonly records: number; readonly perPack: number };

const run: Run = { signal: new AbortController().signal };
const idKey = new Uint8Array(32).fill(1);
const runtime: Runtime = {
  clock: createSystemClock(),
  random: (sizeBytes) => new Uint8Array(randomBytes(sizeBytes)),
  logger: { log: (level, message, fields) => console.error(level, message, fields) },
  temporaryFolder: tmpdir(),
};

const CHUNK = 0;
const ABSENT = 1;
const PACK = 2;

function openIndex(setting: Setting): Promise<ChunkIndex> {
  return openChunkIndex({ folder: join(setting.folder, 'index'), identity: 'bench', runtime }, run);
}

/** A store that also lists the packs, which are not there. */
async function openStore({ folder, records, perPack }: Setting): Promise<ObjectStore> {
  mkdirSync(join(folder, 'objects'), { recursive: true });
  const store = await openLocalObjectStore({ folder: join(folder, 'objects'), runtime }, run);
  const prefix = `packs/${CREDENTIAL}/`;
  async function* listPacks(): AsyncGenerator<readonly ObjectInfo[]> {
    for (let pack = 0; pack * perPack < records; ) {
      const batch: ObjectInfo[] = [];
      for (; batch.length < 1000 && pack * perPack < records; pack += 1) {
        batch.push({ key: prefix + toHex(idOf(pack, PACK)), sizeBytes: 1 << 24, modifiedMs: 0 });
      }
      yield batch;
    }
  }
  return {
    url: store.url,
    capabilities: store.capabilities,
    create: (key, body, inner) => store.create(key, body, inner),
    read: (key, offset, into, inner) => store.read(key, offset, into, inner),
    stat: (key, inner) => store.stat(key, inner),
    list: (listed, after, inner) => (listed === prefix ? listPacks() : store.list(listed, after, inner)),
    delete: (keys, inner) => store.delete(keys, inner),
    nowMs: (inner) => store.nowMs(inner),
    [Symbol.asyncDispose]: () => store[Symbol.asyncDispose](),
  };
}

const phases: Readonly<Record<Phase, (setting: Setting) => Promise<Record<string, unknown>>>> = {
  async session(setting) {
    const { records, perPack } = setting;
    await using store = await openStore(setting);
    await using index = await openIndex(setting);
    const publish = {
      index,
      objects: store,
      credential: CREDENTIAL,
      session: 'e'.repeat(32),
      idKey,
      random: runtime.random,
    };
    const startMs = performance.now();
    let slowestMs = 0;
    for (let number = 0, pack = 0; number < records; pack += 1) {
      const packNumber = index.addPack(idOf(pack, PACK));
      const end = Math.min(records, number + perPack);
      for (let offset = 0; number < end; number += 1, offset += 1) {
        index.add(idOf(number, CHUNK), {
          pack: packNumber,
          blockOffset: 104,
          blockBytes: 1 << 20,
          offset,
          sizeBytes: 1,
        });
      }
      const flushMs = performance.now();
      await index.flush(run);
      slowestMs = Math.max(slowestMs, performance.now() - flushMs);
    }
    await index.flushAll(run);
    const addedMs = performance.now();
    const addPeakMb = peakMb();
    const { written } = await publishIndex(publish, run);
    return {
      addMs: addedMs - startMs,
      addsPerSecond: (records * 1000) / (addedMs - startMs),
      slowestFlushMs: slowestMs,
      addPeakMb,
      publishMs: performance.now() - addedMs,
      indexObjects: written.length,
      runs: index.statistics.runs,
      packs: index.packCount,
    };
  },
  async open(setting) {
    const before = process.memoryUsage.rss();
    const startMs = performance.now();
    await using index = await openIndex(setting);
    return {
      openMs: performance.now() - startMs,
      runs: index.statistics.runs,
      indexMb: (process.memoryUsage.rss() - before) / 1e6,
    };
  },
  present: (setting) => lookUp(setting, CHUNK),
  absent: (setting) => lookUp(setting, ABSENT),
  async merge(setting) {
    await using index = await openIndex(setting);
    const path = join(setting.folder, 'merged');
    const startMs = performance.now();
    using writer = new RunWriter({ path, tag: runtime.random(8), maxRecords: setting.records, packs: index.packs });
    for await (const { view, count } of index.records(run)) writer.appendExisting(view, count);
    writer.finish();
    const mergeMs = performance.now() - startMs;
    const { size } = statSync(path);
    rmSync(path);
    return { mergeMs, recordsPerSecond: (setting.records * 1000) / mergeMs, sizeMb: size / 1e6 };
  },
  async records(setting) {
    await using index = await openIndex(setting);
    const startMs = performance.now();
    let total = 0;
    for await (const { count } of index.records(run)) total += count;
    return { readMs: performance.now() - startMs, total };
  },
  async sync(setting) {
    await using store = await openStore(setting);
    await using index = await openChunkIndex(
      { folder: join(setting.folder, 'fresh'), identity: 'bench', runtime },
      run,
    );
    const startMs = performance.now();
    const repository = new Uint8Array(16);
    const report = await syncIndex({ index, objects: store, repository, credential: CREDENTIAL, idKey }, run);
    const syncMs = performance.now() - startMs;
    return { syncMs, objectsRead: report.objectsRead, packsRead: report.packsRead, found: index.statistics.records };
  },
};

async function lookUp(setting: Setting, kind: number): Promise<Record<string, unknown>> {
  await using index = await openIndex(setting);
  const drawn = new Uint32Array(randomBytes(LOOKUPS * 4).buffer.slice(0, LOOKUPS * 4)).map(
    (number) => number % setting.records,
  );
  let makingMs = performance.now();
  let sum = 0;
  for (const number of drawn) sum += idOf(number, kind)[0] ?? 0;
  makingMs = performance.now() - makingMs;
  let found = 0;
  const startMs = performance.now();
  for (const number of drawn) if (index.findPack(idOf(number, kind)) >= 0) found += 1;
  const lookUpMs = performance.now() - startMs - makingMs;
  return {
    perSecond: (LOOKUPS * 1000) / lookUpMs,
    found,
    lookUps: LOOKUPS,
    runs: index.statistics.runs,
    check: sum % 2,
  };
}

function peakMb(): number {
  return (process.resourceUsage().maxRSS * 1024) / 1e6;
}

async function runPhase(phase: Phase, setting: Setting): Promise<void> {
  const figures = await phases[phase](setting);
  const rounded = Object.entries({ ...figures, rssMb: process.memoryUsage.rss() / 1e6, peakMb: peakMb() }).map(
    ([name, value]) => {
      return [name, typeof value === 'number' ? Math.round(value * 10) / 10 : value];
    },
  );
  console.log(
    JSON.stringify({ bench: 'chunk-index', phase, records: setting.records, ...Object.fromEntries(rounded) }),
  );
}

const { values } = parseArgs({
  options: {
    records: { type: 'string', default: '10000000' },
    'per-pack': { type: 'string', default: '64' },
    folder: { type: 'string' },
    phase: { type: 'string' },
    help: { type: 'boolean', default: false },
  },
});
const phase = PHASES.find((name) => name === values.phase);
if (values.help) {
  console.log(HELP);
} else if (phase !== undefined && values.folder !== undefined) {
  const setting = { folder: values.folder, records: Number(values.records), perPack: Number(values['per-pack']) };
  await runPhase(phase, setting);
} else {
  const folder = mkdtempSync(join(values.folder ?? tmpdir(), 'tidemark-bench-index-'));
  try {
    for (const name of PHASES) {
      const numbers = ['--records', values.records, '--per-pack', values['per-pack']];
      const { status } = spawnSync(
        process.execPath,
        [import.meta.filename, '--phase', name, '--folder', folder, ...numbers],
        { stdio: 'inherit' },
      );
      if (status !== 0) throw new Error(`phase ${name} ended with ${status}`);
    }
    const files = readdirSync(join(folder, 'index')).map((file) => statSync(join(folder, 'index', file)).size);
    console.log(
      JSON.stringify({
        bench: 'chunk-index',
        phase: 'disk',
        sizeMb: Math.round(files.reduce((sum, size) => sum + size, 0) / 1e6),
      }),
    );
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
