import { assume } from '../../../core/must.ts';

const MARK_BYTES = 40;

/** How a master says that an RDB follows: `$1234`, or `$EOF:` and a mark that ends it. */
export type RdbFrame = { readonly sizeBytes: number } | { readonly mark: Buffer };

/** Undefined for a line that announces none. */
export function parseRdbFrame(line: string): RdbFrame | undefined {
  const [, mark, size] = /^\$(?:EOF:(.{40})|(\d{1,15}))$/.exec(line) ?? [];
  if (mark !== undefined) return { mark: Buffer.from(mark, 'latin1') };
  return size === undefined ? undefined : { sizeBytes: Number(size) };
}

/** Tells the bytes of an RDB from what follows it, in whatever pieces they come. */
export class RdbTransfer {
  readonly #mark: Buffer | undefined;
  /** Of one of known length. */
  #left: number;
  /** What may be the beginning of the mark. */
  #tail: Buffer = Buffer.alloc(0);
  #rest: Buffer | undefined;

  constructor(frame: RdbFrame) {
    this.#mark = 'mark' in frame ? frame.mark : undefined;
    this.#left = 'mark' in frame ? 0 : frame.sizeBytes;
    if (this.#mark === undefined && this.#left === 0) this.#rest = Buffer.alloc(0);
  }

  /** What came behind the end; undefined before it. */
  get rest(): Buffer | undefined {
    return this.#rest;
  }

  /** The bytes of the RDB that are certain now. Not after the end. */
  push(chunk: Buffer): readonly Buffer[] {
    assume(this.#rest === undefined, 'the transfer goes on');
    return this.#mark === undefined ? this.#counted(chunk) : this.#marked(chunk, this.#mark);
  }

  #counted(chunk: Buffer): readonly Buffer[] {
    const piece = chunk.subarray(0, this.#left);
    this.#left -= piece.byteLength;
    if (this.#left === 0) this.#rest = chunk.subarray(piece.byteLength);
    return [piece];
  }

  #marked(chunk: Buffer, mark: Buffer): readonly Buffer[] {
    const seam = Buffer.concat([this.#tail, chunk.subarray(0, MARK_BYTES)]);
    const inSeam = seam.indexOf(mark);
    if (inSeam >= 0) {
      this.#rest = chunk.subarray(inSeam + MARK_BYTES - this.#tail.byteLength);
      return [seam.subarray(0, inSeam)];
    }
    const inChunk = chunk.indexOf(mark);
    if (inChunk >= 0) {
      this.#rest = chunk.subarray(inChunk + MARK_BYTES);
      return [this.#tail, chunk.subarray(0, inChunk)];
    }
    const held = MARK_BYTES - 1;
    if (chunk.byteLength < held) {
      const certain = Math.max(0, seam.byteLength - held);
      this.#tail = seam.subarray(certain);
      return [seam.subarray(0, certain)];
    }
    const before = this.#tail;
    // The chunk's memory is used again.
    this.#tail = Buffer.from(chunk.subarray(chunk.byteLength - held));
    return [before, chunk.subarray(0, chunk.byteLength - held)];
  }
}
