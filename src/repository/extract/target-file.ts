import { closeSync, constants, fchmodSync, fchownSync, ftruncateSync, openSync, writeSync } from 'node:fs';
import type { FileTarget } from '../../core/restorer.ts';
import { setTimesOfFile } from '../../io/native-time.ts';
import { damaged } from '../format/byte-cursor.ts';

/** What a file needs to be created, filled and finished. */
export type TargetShape = Pick<FileTarget<unknown>, 'path' | 'fileSizeBytes' | 'extents' | 'finish'>;

/** A file that is being filled with a content from its start on. Nothing of it is shared with other files. */
export class TargetFile implements Disposable {
  readonly #shape: TargetShape;
  readonly #extents: readonly { readonly offset: number; readonly sizeBytes: number }[];
  #descriptor: number;
  #extent = 0;
  #inExtent = 0;

  private constructor(shape: TargetShape, descriptor: number, contentOffset: number) {
    this.#shape = shape;
    this.#extents = shape.extents ?? [{ offset: 0, sizeBytes: shape.fileSizeBytes }];
    this.#descriptor = descriptor;
    this.#inExtent = contentOffset;
    for (const { sizeBytes } of this.#extents) {
      if (this.#inExtent < sizeBytes) break;
      this.#inExtent -= sizeBytes;
      this.#extent++;
    }
  }

  /** Creates it exclusively, without following links. */
  static create(shape: TargetShape): TargetFile {
    const flags = constants.O_CREAT | constants.O_EXCL | constants.O_RDWR | constants.O_NOFOLLOW;
    return new TargetFile(shape, openSync(Buffer.from(shape.path), flags, 0o600), 0);
  }

  /** Goes on with one that was created, from a place in its content on. */
  static reopen(shape: TargetShape, contentOffset: number): TargetFile {
    return new TargetFile(shape, openSync(Buffer.from(shape.path), constants.O_RDWR | constants.O_NOFOLLOW), contentOffset);
  }

  get descriptor(): number {
    return this.#descriptor;
  }

  /** Writes the next bytes of the content. @throws REPOSITORY_DAMAGED when there are more than the extents hold */
  write(bytes: Uint8Array): void {
    this.#advance(bytes.byteLength, (at, sizeBytes, offset) => {
      let written = 0;
      while (written < sizeBytes) {
        written += writeSync(this.#descriptor, bytes, at + written, sizeBytes - written, offset + written);
      }
    });
  }

  /** The next bytes of the content are there already. */
  skip(sizeBytes: number): void {
    this.#advance(sizeBytes, () => undefined);
  }

  /** Goes on by so much of the content; `put` gets each part of it that lies in one extent, and where. */
  #advance(totalBytes: number, put: (at: number, sizeBytes: number, offset: number) => void): void {
    for (let at = 0; at < totalBytes; ) {
      const extent = this.#extents[this.#extent];
      if (extent === undefined) throw damaged('a base', 'a content is longer than its file');
      const sizeBytes = Math.min(extent.sizeBytes - this.#inExtent, totalBytes - at);
      put(at, sizeBytes, extent.offset + this.#inExtent);
      at += sizeBytes;
      this.#inExtent += sizeBytes;
      if (this.#inExtent < extent.sizeBytes) continue;
      this.#extent++;
      this.#inExtent = 0;
    }
  }

  /**
   * After the last byte: size, owner, mode, times, in this order, as each undoes part of what comes before it.
   * @throws REPOSITORY_DAMAGED when there were fewer than the extents hold
   */
  finish(): void {
    const { extents, fileSizeBytes, finish } = this.#shape;
    const isFull = this.#extents.slice(this.#extent).every(({ sizeBytes }, index) => sizeBytes === (index === 0 ? this.#inExtent : 0));
    if (!isFull) throw damaged('a base', 'a content is shorter than its file');
    if (extents !== undefined) ftruncateSync(this.#descriptor, fileSizeBytes);
    if (finish.uid !== undefined && finish.gid !== undefined) fchownSync(this.#descriptor, finish.uid, finish.gid);
    fchmodSync(this.#descriptor, finish.mode);
    setTimesOfFile(this.#descriptor, { atimeNs: finish.atimeNs, mtimeNs: finish.mtimeNs });
  }

  [Symbol.dispose](): void {
    if (this.#descriptor < 0) return;
    closeSync(this.#descriptor);
    this.#descriptor = -1;
  }
}
