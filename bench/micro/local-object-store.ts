import { randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { link, mkdir, open, readdir, stat, unlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import type { Run } from '../../src/core/run.ts';
import { createSystemClock } from '../../src/flow/clock.ts';
import { openLocalObjectStore } from '../../src/objects/local/object-store.ts';
import type { ObjectStore } from '../../src/objects/object-store.ts';

/*
 * What the local object store costs beside node:fs: packs of 32 MiB, 5,000 objects of 1 KiB, ranged reads of a pack, a listing. `flushed` does
 * by hand what a careful program does for each object alone (draft, flush, link, unlink, flush of the folder), `plain` only writes the file.
 * One line of JSON for each case and each way. `--folder DIR` chooses the disk.
 */

const PACKS = 12;
const PACK_BYTES = 32 << 20;
const PACKS_AT_ONCE = 3;
const SMALL = 5000;
const SMALL_BYTES = 1024;
const SMALL_AT_ONCE = 32;
const READS = 20_000;
const READ_BYTES = 16 << 10;
const READS_AT_ONCE = 8;

const run: Run = { signal: new AbortController().signal };

type Way = {
  readonly name: 'store' | 'flushed' | 'plain';
  create(key: string, bytes: Uint8Array): Promise<void>;
  read(key: string, offset: number, into: Uint8Array): Promise<number>;
  list(prefix: string): Promise<number>;
};

async function eachAtOnce(count: number, atOnce: number, task: (index: number) => Promise<void>): Promise<void> {
  let next = 0;
  const work = async (): Promise<void> => {
    while (next < count) {
      next += 1;
      await task(next - 1);
    }
  };
  await Promise.all(Array.from({ length: atOnce }, work));
}

function storeWay(store: ObjectStore): Way {
  return {
    name: 'store',
    create: (key, bytes) => store.create(key, [bytes], run),
    read: (key, offset, into) => store.read(key, offset, into, run),
    async list(prefix) {
      let count = 0;
      for await (const batch of store.list(prefix, '', run)) count += batch.length;
      return count;
    },
  };
}

async function readOnce(path: string, offset: number, into: Uint8Array): Promise<number> {
  await using file = await open(path, 'r');
  return (await file.read(into, 0, into.byteLength, offset)).bytesRead;
}

async function listFolder(folder: string): Promise<number> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const paths = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  await Promise.all(paths.sort().map((path) => stat(path)));
  return paths.length;
}

async function createFlushed(path: string, draft: string, bytes: Uint8Array): Promise<void> {
  {
    await using file = await open(draft, 'wx', 0o400);
    await file.writeFile(bytes);
    await file.sync();
  }
  await link(draft, path);
  await unlink(draft);
  await using folder = await open(dirname(path), 'r');
  await folder.sync();
}

function nodeWay(name: 'flushed' | 'plain', folder: string): Way {
  let drafts = 0;
  return {
    name,
    async create(key, bytes) {
      const path = join(folder, key);
      await mkdir(dirname(path), { recursive: true });
      if (name === 'plain') await writeFile(path, bytes, { flag: 'wx' });
      else await createFlushed(path, join(folder, `draft-${(drafts += 1)}`), bytes);
    },
    read: (key, offset, into) => readOnce(join(folder, key), offset, into),
    list: (prefix) => listFolder(join(folder, prefix)),
  };
}

type Case = { readonly name: string; readonly count: number; readonly bytes: number; work(way: Way): Promise<void> };

const pack = randomBytes(PACK_BYTES);
const small = randomBytes(SMALL_BYTES);

const cases: readonly Case[] = [
  {
    name: 'create packs',
    count: PACKS,
    bytes: PACKS * PACK_BYTES,
    work: (way) => eachAtOnce(PACKS, PACKS_AT_ONCE, (index) => way.create(`packs/${index % 4}/${index}`, pack)),
  },
  {
    name: 'read ranges of packs',
    count: READS,
    bytes: READS * READ_BYTES,
    async work(way) {
      const places = Array.from({ length: READS_AT_ONCE }, () => new Uint8Array(READ_BYTES));
      await eachAtOnce(READS, READS_AT_ONCE, async (index) => {
        const number = Math.floor(index / (READS / PACKS)) % PACKS;
        const offset = (index * 7_919_003) % (PACK_BYTES - READ_BYTES);
        const into = places[index % READS_AT_ONCE] ?? new Uint8Array(READ_BYTES);
        const count = await way.read(`packs/${number % 4}/${number}`, offset, into);
        if (count !== READ_BYTES) throw new Error(`${count} bytes of ${READ_BYTES}`);
      });
    },
  },
  {
    name: 'create small objects',
    count: SMALL,
    bytes: SMALL * SMALL_BYTES,
    work: (way) => eachAtOnce(SMALL, SMALL_AT_ONCE, (index) => way.create(`small/${index % 16}/${index}`, small)),
  },
  {
    name: 'list small objects',
    count: SMALL,
    bytes: 0,
    async work(way) {
      const count = await way.list('small/');
      if (count !== SMALL) throw new Error(`${count} objects of ${SMALL}`);
    },
  },
];

async function measure(one: Case, way: Way): Promise<void> {
  const start = performance.now();
  await one.work(way);
  const seconds = (performance.now() - start) / 1000;
  const line = {
    name: one.name,
    way: way.name,
    n: one.count,
    seconds: Number(seconds.toFixed(3)),
    perSecond: Math.round(one.count / seconds),
    mebibytesPerSecond: Math.round(one.bytes / seconds / (1 << 20)),
  };
  console.log(JSON.stringify(line));
}

const { values } = parseArgs({ options: { folder: { type: 'string', default: tmpdir() } } });
const root = mkdtempSync(join(values.folder, 'tidemark-objects-'));
try {
  for (const name of ['store', 'flushed', 'plain']) mkdirSync(join(root, name));
  const logger = { log: () => undefined };
  const runtime = { clock: createSystemClock(), random: randomBytes, logger, temporaryFolder: tmpdir() };
  await using store = await openLocalObjectStore({ folder: join(root, 'store'), runtime }, run);
  const ways = [
    nodeWay('plain', join(root, 'plain')),
    nodeWay('flushed', join(root, 'flushed')),
    storeWay(store),
  ] as const;
  for (const one of cases) {
    for (const way of ways) await measure(one, way);
  }
} finally {
  rmSync(root, { recursive: true });
}
