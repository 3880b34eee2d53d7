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
const DIRECTORIES_AT_ONCE = 8;

export type PackProgress = { readonly packs: number; readonly totalPacks: number; readonly bytes: number };

export type PackPassOptions = {
  /** Of all writers together. */
  readonly totalPacks: number;
  readonly share: number;
  readonly random: RandomBytes;
  readonly openChecker: () => Promise<PackChecker>;
  readonly onProgress: (progress: PackProgress) => void;
  readonly damage: DamageList;
};

type Task = { readonly number: number; readonly readsData: boolean };

type ReadData = (pack: PackDirectory, run: Run) => Promise<PackCheck>;

/**
 * Opens every pack that a base needs, reads the data of a share of them, and hands their chunks to their writers. One pack after another
 * goes through memory, a few at once.
 */
export class PackPass {
  readonly #options: PackPassOptions;
  readonly #wanted: number;
  /** How many packs have not been seen yet, and the data of how many of these is to be read. */
  #left: number;
  #missing: number;
  #done = 0;
  /** What was read so far. */
  chunks = 0;
  bytes = 0;

  constructor(options: PackPassOptions) {
    const { totalPacks, share } = options;
    this.#options = options;
    this.#wanted = share <= 0 ? 0 : Math.max(Math.min(totalPacks, 1), Math.ceil(totalPacks * Math.min(share, 1)));
    this.#left = totalPacks;
    this.#missing = this.#wanted;
  }

  /** All packs of one writer. What checks their data is closed when it resolves. */
  async check(writer: WriterCheck, run: Run): Promise<void> {
    await using checker = this.#missing > 0 ? await this.#options.openChecker() : undefined;
    const limiter = createLimiter(checker?.atOnce ?? 1);
    const read: ReadData = (pack, inner) =>
      limiter.within((held) => must(checker, 'a checker where data is read').check(pack, writer.keys, held), inner);
    await using scope = openScope(run);
    const tasks = this.#tasks(writer);
    const work = async (inner: Run): Promise<void> => {
      for (const task of tasks) {
        inner.signal.throwIfAborted();
        await this.#one(writer, task, read, inner);
        if (task.readsData || this.#wanted === 0) this.#report();
      }
    };
    const workers = checker === undefined ? DIRECTORIES_AT_ONCE : checker.atOnce + 1;
    for (let count = 0; count < workers; count++) void scope.spawn(work);
    await scope.join();
  }

  /** Each pack once. Of all writers together exactly as many as wanted have their data read, chosen at random. */
  *#tasks({ packCount }: WriterCheck): Generator<Task> {
    for (let number = 0; number < packCount; number++, this.#left--) {
      const draw = new DataView(Uint8Array.from(this.#options.random(4)).buffer).getUint32(0) / 2 ** 32;
      const readsData = this.#missing > 0 && (this.#missing >= this.#left || draw * this.#left < this.#missing);
      if (readsData) this.#missing--;
      yield { number, readsData };
    }
  }

  async #one(writer: WriterCheck, { number, readsData }: Task, read: ReadData, run: Run): Promise<void> {
    const { damage } = this.#options;
    try {
      const directory = await writer.openPack(number, run);
      const data = readsData ? await read(directory, run) : undefined;
      this.chunks += data?.chunks ?? 0;
      this.bytes += data?.bytes ?? 0;
      await writer.take(number, { directory, data }, run);
      const message = faultOf(directory, data);
      if (message !== undefined) damage.add({ object: directory.key, kind: 'pack', message });
    } catch (error) {
      if (!isDamage(error) || !(error instanceof Error)) throw error;
      writer.fail(number);
      damage.add({ object: writer.packKey(number), kind: 'pack', message: error.message });
    }
  }

  #report(): void {
    this.#done += 1;
    const totalPacks = this.#wanted > 0 ? this.#wanted : this.#options.totalPacks;
    this.#options.onProgress({ packs: this.#done, totalPacks, bytes: this.bytes });
  }
}

function faultOf({ isNamed }: PackDirectory, data: PackCheck | undefined): string | undefined {
  if (!isNamed) return 'it is not the pack that its name says';
  const bad = data?.badChunks.length ?? 0;
  return data?.message ?? (bad > 0 ? `${bad} chunks of it are not what their ids say` : undefined);
}
