import { createCipheriv, createHmac, createSecretKey } from 'node:crypto';
import { closeSync, fstatSync, fsyncSync, mkdtempSync, openSync, readSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { constants, zstdCompressSync } from 'node:zlib';
import { release } from '../../src/core/bytes.ts';
import { walkTree } from '../data/walk.ts';

/*
 * The least that a first backup of many files can cost: two threads read each file, compute its id, compress, seal and write, with Node's own calls
 * and nothing around them. No chunks, no deduplication, no tree, no index. Prints one line of JSON, to lay beside `pipeline.ts` and the whole command.
 */

const THREADS = 2;
const BLOCK_BYTES = 1024 * 1024;
const CHUNK_BYTES = 1024 * 1024;
const SEALED_BYTES = 128 * 1024;
const TOGETHER = 256;

type Share = { readonly files: readonly { readonly path: string; readonly sizeBytes: number }[]; readonly out: string };

class BareWriter implements Disposable {
  readonly #out: number;
  readonly #block = new Uint8Array(64 * BLOCK_BYTES);
  readonly #key = createSecretKey(new Uint8Array(32));
  readonly #cipher = createCipheriv('aes-256-gcm', this.#key, new Uint8Array(12));
  #filled = 0;

  constructor(path: string) {
    this.#out = openSync(path, 'w');
  }

  add(path: string, sizeBytes: number): void {
    const file = openSync(path, 'r');
    for (let at = 0; at < sizeBytes; ) {
      if (this.#filled >= BLOCK_BYTES) this.#flush();
      const size = readSync(file, this.#block, this.#filled, Math.min(sizeBytes - at, CHUNK_BYTES), at);
      if (size === 0) break;
      const chunk = this.#block.subarray(this.#filled, this.#filled + size);
      createHmac('sha256', this.#key).update(chunk).digest();
      this.#filled += size;
      at += size;
    }
    fstatSync(file, { bigint: true });
    closeSync(file);
  }

  #flush(): void {
    const plain = this.#block.subarray(0, this.#filled);
    const frame = zstdCompressSync(plain, {
      params: { [constants.ZSTD_c_compressionLevel]: 1 },
      chunkSize: plain.byteLength + (plain.byteLength >> 8) + 256,
    });
    const stored = frame.byteLength < plain.byteLength ? frame : plain;
    for (let at = 0; at < stored.byteLength; at += SEALED_BYTES) {
      const sealed = this.#cipher.update(stored.subarray(at, at + SEALED_BYTES));
      writeSync(this.#out, sealed);
      release(sealed);
    }
    release(frame);
    this.#filled = 0;
  }

  [Symbol.dispose](): void {
    this.#flush();
    fsyncSync(this.#out);
    closeSync(this.#out);
  }
}

function work({ files, out }: Share): void {
  using writer = new BareWriter(out);
  for (const { path, sizeBytes } of files) writer.add(path, sizeBytes);
}

async function main(tree: string): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'tidemark-bare-'));
  try {
    const before = process.cpuUsage();
    const start = performance.now();
    const files = [...walkTree(tree)]
      .filter(({ stats }) => stats.isFile() && stats.size > 0)
      .map(({ path, stats }) => ({ path: join(tree, path), sizeBytes: stats.size }));
    const threads = Array.from({ length: THREADS }, async (_, thread) => {
      const own = files.filter((_file, index) => Math.floor(index / TOGETHER) % THREADS === thread);
      const share: Share = { files: own, out: join(folder, `${thread}`) };
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      const worker = new Worker(new URL(import.meta.url), { workerData: share });
      worker.on('error', reject);
      worker.on('exit', () => resolve());
      await promise;
    });
    await Promise.all(threads);
    const { user, system } = process.cpuUsage(before);
    const seconds = (performance.now() - start) / 1_000;
    console.log(
      JSON.stringify({ name: 'bare-files', seconds, cpuSeconds: (user + system) / 1e6, files: files.length }),
    );
  } finally {
    rmSync(folder, { recursive: true });
  }
}

if (isMainThread) {
  const { values } = parseArgs({ options: { tree: { type: 'string' } } });
  if (values.tree === undefined) throw new Error('--tree DIR names what is read');
  await main(values.tree);
} else {
  work(workerData as Share);
  parentPort?.close();
}
