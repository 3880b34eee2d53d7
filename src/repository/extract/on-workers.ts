import { must } from '../../core/must.ts';
import type { FileResult, FileTarget } from '../../core/restorer.ts';
import type { Run } from '../../core/run.ts';
import type { ExtractContext, Extractor } from '../base-reader.ts';
import { Crew } from './crew.ts';
import { fillLarge } from './fill-large.ts';
import { FILL_LIMITS } from './fill-plan.ts';
import { fillWindow } from './fill-window.ts';

const WINDOW_FILES = 1024;
const WINDOWS_AHEAD = 2;

type Targets<Tag> = readonly FileTarget<Tag>[];

/** Fills files on worker threads: this one plans and fetches, they open, prove and write. Memory does not grow with the size of files. */
export function extractOnWorkers(workers: number, limits = FILL_LIMITS): Extractor {
  return async function* <Tag>(context: ExtractContext, targets: AsyncIterable<Targets<Tag>>, run: Run) {
    await using crew = new Crew({ context, workers, limits }, run);
    await using windows = new Windows<Tag>(crew);
    for await (const window of windowsOf(targets, limits.windowBytes)) {
      windows.start(window);
      if (windows.count >= WINDOWS_AHEAD) yield await windows.next();
    }
    while (windows.count > 0) yield await windows.next();
  };
}

/** What is under way, in order. */
class Windows<Tag> implements AsyncDisposable {
  readonly #crew: Crew;
  readonly #filling: Promise<readonly FileResult<Tag>[]>[] = [];

  constructor(crew: Crew) {
    this.#crew = crew;
  }

  get count(): number {
    return this.#filling.length;
  }

  /** @throws what a window has failed with meanwhile */
  start(window: Targets<Tag>): void {
    this.#crew.run.signal.throwIfAborted();
    const filling = this.#fill(window);
    // It is awaited in its turn.
    filling.catch((error: unknown) => this.#crew.end(error));
    this.#filling.push(filling);
  }

  async next(): Promise<readonly FileResult<Tag>[]> {
    const results = await must(this.#filling[0], 'a window');
    void this.#filling.shift();
    return results;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#crew.end(new Error('the extraction was closed'));
    await Promise.allSettled(this.#filling);
  }

  async #fill(window: Targets<Tag>): Promise<readonly FileResult<Tag>[]> {
    const [first] = window;
    const isLarge = first !== undefined && contentBytes(first) > this.#crew.limits.windowBytes;
    return isLarge ? [await fillLarge(this.#crew, first)] : await fillWindow(this.#crew, window);
  }
}

/** A large file is a window of its own. */
async function* windowsOf<Tag>(
  targets: AsyncIterable<Targets<Tag>>,
  windowBytes: number,
): AsyncGenerator<Targets<Tag>> {
  let window: FileTarget<Tag>[] = [];
  let bytes = 0;
  for await (const batch of targets) {
    for (const target of batch) {
      if (contentBytes(target) > windowBytes) {
        yield [target];
        continue;
      }
      window.push(target);
      bytes += contentBytes(target);
      if (window.length < WINDOW_FILES && bytes < windowBytes) continue;
      yield window;
      window = [];
      bytes = 0;
    }
  }
  if (window.length > 0) yield window;
}

function contentBytes<Tag>({ entry }: FileTarget<Tag>): number {
  return entry.content?.sizeBytes ?? 0;
}
