import { must } from '../../core/must.ts';
import type { RandomBytes, Run } from '../../core/run.ts';
import { createLimiter } from '../../flow/limiter.ts';
import { openScope } from '../../flow/scope.ts';
import { isDamage } from '../format/byte-cursor.ts';
import type { PackDirectory } from '../pack-directory.ts';
import type { DamageList } from './damage.ts';
import type { PackCheck, PackChecker } from './pack-check.ts';
import type { WriterCheck } from './writer-check.ts';

/** Directories that are read at once where no data is. */
const DIRECTORIES_AT_ONCE = 16;

export type PackProgress = { readonly packs: number; readonly totalPacks: number; readonly bytes: number };

export type PackPassOptions = {
  readonly writers: readonly WriterCheck[];
  readonly share: number;
  readonly random: RandomBytes;
  readonly openChecker: () => Promise<PackChecker>;
  readonly onProgress: (progress: PackProgress) => void;
  readonly damage: DamageList;
};

type Task = { readonly writer: WriterCheck; readonly number: number; readonly readsData: boolean };

/**
 * Opens every pack that a base needs, reads the data of a share of them, and hands their chunks to the writers. One pack after another goes through
 * memory, a few at once. Returns how many chunks and bytes were read.
 */
export async function checkPacks(
  options: PackPassOptions,
  run: Run,
): Promise<{ readonly chunks: number; readonly bytes: number }> {
  const pass = new PackPass(options);
  await pass.all(run);
  return { chunks: pass.chunks, bytes: pass.bytes };
}

class PackPass {
  readonly #options: PackPassOptions;
  chunks = 0;
  bytes = 0;
  #done = 0;

  constructor(options: PackPassOptions) {
    this.#options = options;
  }

  async all(run: Run): Promise<void> {
    const { share, writers, openChecker } = this.#options;
    const total = writers.reduce((sum, { packCount }) => sum + packCount, 0);
    const wanted = share <= 0 ? 0 : Math.max(Math.min(total, 1), Math.ceil(total * Math.min(share, 1)));
    await using checker = wanted > 0 ? await openChecker() : undefined;
    const limiter = createLimiter(checker?.atOnce ?? 1);
    const check = async (pack: PackDirectory, writer: WriterCheck, inner: Run): Promise<PackCheck> =>
      limiter.within((held) => must(checker, 'a checker where data is read').check(pack, writer.keys, held), inner);
    await using scope = openScope(run);
    const tasks = this.#tasks(total, wanted);
    const work = async (inner: Run): Promise<void> => {
      for (const task of tasks) {
        inner.signal.throwIfAborted();
        await this.#one(task, check, inner);
        if (!task.readsData && wanted > 0) continue;
        this.#options.onProgress({ packs: ++this.#done, totalPacks: wanted > 0 ? wanted : total, bytes: this.bytes });
      }
    };
    const workers = checker === undefined ? DIRECTORIES_AT_ONCE : checker.atOnce + 1;
    for (let count = 0; count < workers; count++) void scope.spawn(work);
    await scope.join();
  }

  /** Each pack once; exactly `wanted` of them, chosen at random, with their data. */
  *#tasks(total: number, wanted: number): Generator<Task> {
    const { writers, random } = this.#options;
    let [left, missing] = [total, wanted];
    for (const writer of writers) {
      for (let number = 0; number < writer.packCount; number++, left--) {
        const draw = new DataView(Uint8Array.from(random(4)).buffer).getUint32(0) / 2 ** 32;
        const readsData = missing > 0 && (missing >= left || draw * left < missing);
        if (readsData) missing--;
        yield { writer, number, readsData };
      }
    }
  }

  async #one(
    { writer, number, readsData }: Task,
    check: (pack: PackDirectory, writer: WriterCheck, run: Run) => Promise<PackCheck>,
    run: Run,
  ): Promise<void> {
    const { damage } = this.#options;
    try {
      const directory = await writer.openPack(number, run);
      const data = readsData ? await check(directory, writer, run) : undefined;
      this.chunks += data?.chunks ?? 0;
      this.bytes += data?.bytes ?? 0;
      await writer.take(number, { directory, data }, run);
      const bad = data?.badChunks.length ?? 0;
      const problem = bad > 0 ? `${bad} chunks of it are not what their ids say` : undefined;
      const message = directory.isNamed ? (data?.message ?? problem) : 'it is not the pack that its name says';
      if (message !== undefined) damage.add({ object: directory.key, kind: 'pack', message });
    } catch (error) {
      if (!isDamage(error) || !(error instanceof Error)) throw error;
      writer.fail(number);
      damage.add({ object: writer.packKey(number), kind: 'pack', message: error.message });
    }
  }
}
