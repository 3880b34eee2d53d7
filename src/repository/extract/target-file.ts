import { closeSync, constants, fchmodSync, fchownSync, ftruncateSync, openSync, unlinkSync, writeSync } from 'node:fs';
import type { FileTarget } from '../../core/restorer.ts';
import { setTimesOfFile } from '../../io/native-time.ts';
import { damaged } from '../format/byte-cursor.ts';
import { ContentLayout } from './content-layout.ts';
import type { FileRun } from './content-layout.ts';

/** What a file needs to be created, filled and finished. */
export type TargetShape = Pick<FileTarget<unknown>, 'path' | 'fileSizeBytes' | 'extents' | 'finish'>;

/** A file that is being filled. Nothing of it is shared with other files, unless it is a clone. */
export class TargetFile implements Disposable {
  readonly #path: Uint8Array;
  readonly #layout: ContentLayout;
  #descriptor: number;

  private constructor(path: Uint8Array, layout: ContentLayout, flags: number) {
    this.#path = path;
    this.#layout = layout;
    this.#descriptor = openSync(Buffer.from(path), flags | constants.O_RDWR | constants.O_NOFOLLOW, 0o600);
  }

  /** Creates it exclusively, without following links. */
  static create(shape: TargetShape): TargetFile {
    const file = new TargetFile(shape.path, ContentLayout.of(shape), constants.O_CREAT | constants.O_EXCL);
    try {
      if (shape.extents !== undefined) file.clear(shape);
      return file;
    } catch (error) {
      file[Symbol.dispose]();
      throw error;
    }
  }

  /** Opens one that was created; what is written goes to `runs`. */
  static reopen(path: Uint8Array, runs: readonly FileRun[]): TargetFile {
    return new TargetFile(path, new ContentLayout(runs), 0);
  }

  get descriptor(): number {
    return this.#descriptor;
  }

  /**
   * Makes it all holes. A sparse file has its size from the start: some file systems reserve space behind the end of a file that grows, which
   * would lie in its holes later.
   */
  clear({ extents, fileSizeBytes }: TargetShape): void {
    ftruncateSync(this.#descriptor, 0);
    if (extents !== undefined) ftruncateSync(this.#descriptor, fileSizeBytes);
  }

  /** Writes the next bytes of the content. @throws REPOSITORY_DAMAGED when there are more than the file has room for */
  write(bytes: Uint8Array): void {
    let at = 0;
    for (const { offset, sizeBytes } of this.#layout.take(bytes.byteLength)) {
      for (let written = 0; written < sizeBytes; ) {
        written += writeSync(this.#descriptor, bytes, at + written, sizeBytes - written, offset + written);
      }
      at += sizeBytes;
    }
  }

  /** Says that the next bytes of the content lie where they should already. */
  skip(sizeBytes: number): void {
    this.#layout.take(sizeBytes);
  }

  /**
   * After the last byte: size, owner, mode, times, in this order, as each undoes part of what comes before it.
   * @throws REPOSITORY_DAMAGED when not every byte has come
   */
  finish({ extents, fileSizeBytes, finish }: TargetShape): void {
    if (!this.#layout.isAtEnd) throw damaged('a base', 'a content is shorter than its file');
    if (extents !== undefined) ftruncateSync(this.#descriptor, fileSizeBytes);
    if (finish.uid !== undefined && finish.gid !== undefined) fchownSync(this.#descriptor, finish.uid, finish.gid);
    fchmodSync(this.#descriptor, finish.mode);
    setTimesOfFile(this.#descriptor, { atimeNs: finish.atimeNs, mtimeNs: finish.mtimeNs });
  }

  /** Removes it. */
  discard(): void {
    this[Symbol.dispose]();
    unlinkSync(Buffer.from(this.#path));
  }

  [Symbol.dispose](): void {
    if (this.#descriptor < 0) return;
    closeSync(this.#descriptor);
    this.#descriptor = -1;
  }
}
