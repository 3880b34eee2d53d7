import type { FileTarget } from '../../core/restorer.ts';
import { damaged } from '../format/byte-cursor.ts';

/** A run of bytes in a file. */
export type FileRun = { readonly offset: number; readonly sizeBytes: number };

/** Where a content lies in its file: in `runs`, one after another. It is gone through once, from the start on. */
export class ContentLayout {
  readonly #runs: readonly FileRun[];
  #run = 0;
  #inRun = 0;

  constructor(runs: readonly FileRun[]) {
    this.#runs = runs;
  }

  static of({ extents, fileSizeBytes }: Pick<FileTarget<unknown>, 'extents' | 'fileSizeBytes'>): ContentLayout {
    return new ContentLayout(extents ?? [{ offset: 0, sizeBytes: fileSizeBytes }]);
  }

  /** The content has a byte for each byte of the runs, so far. */
  get isAtEnd(): boolean {
    this.#leaveFull();
    return this.#run === this.#runs.length;
  }

  /** Where the next bytes of the content lie, in order. @throws REPOSITORY_DAMAGED when the runs hold fewer */
  take(totalBytes: number): readonly FileRun[] {
    const taken: FileRun[] = [];
    for (let left = totalBytes; left > 0; ) {
      this.#leaveFull();
      const run = this.#runs[this.#run];
      if (run === undefined) throw damaged('a base', 'a content is longer than its file');
      const sizeBytes = Math.min(run.sizeBytes - this.#inRun, left);
      taken.push({ offset: run.offset + this.#inRun, sizeBytes });
      this.#inRun += sizeBytes;
      left -= sizeBytes;
    }
    return taken;
  }

  #leaveFull(): void {
    for (let run = this.#runs[this.#run]; run?.sizeBytes === this.#inRun; run = this.#runs[this.#run]) {
      this.#run++;
      this.#inRun = 0;
    }
  }
}
