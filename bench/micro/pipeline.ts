import { createCipheriv, createHash } from 'node:crypto';
import { lstatSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import type { BlockSink, PipelineEngine, PlainBlock, StoreSource } from '../../src/repository/pipeline/engine.ts';
import { createInPlaceEngine } from '../../src/repository/pipeline/in-place-engine.ts';
import { createWorkerEngine } from '../../src/repository/pipeline/worker-engine.ts';
import { generateTree } from '../data/generate.ts';
import { STANDARD_TREE } from '../data/plan.ts';
import { walkTree } from '../data/walk.ts';

/*
 * How fast contents are read, cut, identified and compressed, without a repository around it: one engine per process,
 * because peak memory is the process's. Prints one line of JSON. `--tree DIR` reads real files instead of the
 * generated tree; `--seal` encrypts the blocks as a writer does.
 */

const SIZES = { minBytes: 262_144, averageBytes: 1_048_576, maxBytes: 4_194_304, pageBytes: 65_536 };
const BATCH = 256;

type Totals = { files: number; bytes: number; chunks: number; newBytes: number; storedBytes: number; blocks: number };

function createEngine(name: string, workers: number): PipelineEngine {
  const keys = {
    chunkKey: new Uint8Array(32),
    gear: new Uint32Array(256).map((_, index) => createHash('sha256').update(`${index}`).digest().readUInt32LE()),
  };
  return name === 'in-place'
    ? createInPlaceEngine({ sizes: SIZES, keys })
    : createWorkerEngine({ sizes: SIZES, keys, workers });
}

async function* sourcesBelow(root: string): AsyncGenerator<readonly StoreSource<string>[]> {
  let batch: StoreSource<string>[] = [];
  for (const { path } of walkTree(root)) {
    const stats = lstatSync(join(root, path), { bigint: true });
    if (!stats.isFile()) continue;
    const state = { sizeBytes: Number(stats.size), mtimeNs: stats.mtimeNs, ctimeNs: stats.ctimeNs, inode: stats.ino };
    batch.push({ tag: path, content: { cut: 'stream', kind: 'file', path: Buffer.from(join(root, path)), state } });
    if (batch.length < BATCH) continue;
    yield batch;
    batch = [];
  }
  yield batch;
}

function createSink(totals: Totals, seal: boolean): BlockSink {
  const known = new Set<string>();
  const key = new Uint8Array(32);
  let count = 0;
  return {
    claim(id) {
      const name = Buffer.from(id).toString('latin1');
      if (known.has(name)) return false;
      known.add(name);
      return true;
    },
    async block({ plain, plainBytes }: PlainBlock) {
      totals.newBytes += plainBytes;
      totals.storedBytes += plain.byteLength;
      totals.blocks += 1;
      if (!seal) return;
      const nonce = new Uint8Array(12);
      new DataView(nonce.buffer).setUint32(0, (count += 1));
      const cipher = createCipheriv('aes-256-gcm', key, nonce);
      cipher.update(plain);
      cipher.final();
    },
  };
}

async function measure(root: string, options: { engine: string; workers: number; seal: boolean }): Promise<void> {
  const totals: Totals = { files: 0, bytes: 0, chunks: 0, newBytes: 0, storedBytes: 0, blocks: 0 };
  const before = process.cpuUsage();
  const start = performance.now();
  {
    await using engine = createEngine(options.engine, options.workers);
    const run = { signal: new AbortController().signal };
    for await (const outcomes of engine.store(sourcesBelow(root), createSink(totals, options.seal), run)) {
      for (const outcome of outcomes) {
        if (!('chunks' in outcome)) throw outcome.failure;
        totals.files += 1;
        totals.bytes += outcome.sizeBytes;
        totals.chunks += outcome.chunks.length;
      }
    }
  }
  const seconds = (performance.now() - start) / 1000;
  const cpu = process.cpuUsage(before);
  console.log(
    JSON.stringify({
      name: 'pipeline',
      ...options,
      seconds: Number(seconds.toFixed(2)),
      cpuSeconds: Number(((cpu.user + cpu.system) / 1e6).toFixed(2)),
      systemSeconds: Number((cpu.system / 1e6).toFixed(2)),
      megabytesPerSecond: Math.round(totals.bytes / seconds / 1e6),
      peakMebibytes: Math.round(process.resourceUsage().maxRSS / 1024),
      ...totals,
    }),
  );
}

const { values } = parseArgs({
  options: {
    engine: { type: 'string', default: 'workers' },
    workers: { type: 'string', default: '2' },
    tree: { type: 'string' },
    seal: { type: 'boolean', default: false },
  },
});
const options = { engine: values.engine, workers: Number(values.workers), seal: values.seal };
if (values.tree === undefined) {
  const root = mkdtempSync(join(tmpdir(), 'tidemark-pipeline-'));
  try {
    generateTree(root, STANDARD_TREE);
    await measure(root, options);
  } finally {
    rmSync(root, { recursive: true });
  }
} else {
  await measure(values.tree, options);
}
