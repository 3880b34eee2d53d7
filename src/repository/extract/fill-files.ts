import { createHmac, createSecretKey } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { equalBytes, toHex } from '../../core/bytes.ts';
import { must } from '../../core/must.ts';
import { damaged } from '../format/byte-cursor.ts';
import type { PackSecret } from '../format/pack.ts';
import { OpenedBlock } from '../pipeline/opened-block.ts';
import { packError } from '../pipeline/thread-error.ts';
import type { ThreadError } from '../pipeline/thread-error.ts';
import { TargetFile } from './target-file.ts';
import type { TargetShape } from './target-file.ts';

const ID_BYTES = 32;
/** Files come in the order of their blocks, so a block is rarely wanted again after the next few. */
const BLOCKS_KEPT = 4;

/** A sealed block that lies in the slot. */
export type SealedBlock = { readonly secret: PackSecret; readonly number: number; readonly what: string; readonly offset: number; readonly sealedBytes: number };

/** `contentOffset` undefined: the file is created and finished here; else it is there, and goes on from that place in its content. */
export type FillFile = { readonly shape: TargetShape; readonly contentOffset: number | undefined };

/** The pieces of a file follow each other in the order of its content; `fileOf` ascends. */
export type FillRequest = {
  readonly chunkKey: Uint8Array;
  readonly blocks: readonly SealedBlock[];
  readonly files: readonly FillFile[];
  readonly fileOf: Uint32Array;
  readonly blockOf: Uint32Array;
  readonly offsets: Uint32Array;
  readonly sizes: Uint32Array;
  readonly ids: Uint8Array;
};

/** Files that failed, by their index; what was written of them is still there. */
export type FilledFiles = { readonly failures: readonly { readonly file: number; readonly error: ThreadError }[] };

/** Opens blocks, proves every chunk by its id, and writes files. What is wrong with one file or block does not stop the others. */
export function fillFiles(slot: Uint8Array, request: FillRequest): FilledFiles {
  using filling = new Filling(slot, request);
  const failures: { file: number; error: ThreadError }[] = [];
  let piece = 0;
  for (const [index, file] of request.files.entries()) {
    const first = piece;
    while (request.fileOf[piece] === index) piece++;
    try {
      filling.fill(file, first, piece);
    } catch (error) {
      failures.push({ file: index, error: packError(error) });
    }
  }
  return { failures };
}

class Filling implements Disposable {
  readonly #slot: Uint8Array;
  readonly #request: FillRequest;
  readonly #key: KeyObject;
  readonly #opened = new Map<number, OpenedBlock>();

  constructor(slot: Uint8Array, request: FillRequest) {
    this.#slot = slot;
    this.#request = request;
    this.#key = createSecretKey(request.chunkKey);
  }

  fill({ shape, contentOffset }: FillFile, first: number, end: number): void {
    using file = contentOffset === undefined ? TargetFile.create(shape) : TargetFile.reopen(shape, contentOffset);
    for (let piece = first; piece < end; piece++) file.write(this.#chunk(piece));
    if (contentOffset === undefined) file.finish();
  }

  #chunk(piece: number): Uint8Array {
    const { blockOf, offsets, sizes, ids } = this.#request;
    const why = 'every piece has a place';
    const offset = must(offsets[piece], why);
    const sizeBytes = must(sizes[piece], why);
    const block = this.#block(must(blockOf[piece], why));
    const bytes = block.subarray(offset, offset + sizeBytes);
    const id = ids.subarray(piece * ID_BYTES, (piece + 1) * ID_BYTES);
    const found = createHmac('sha256', this.#key).update(bytes).digest();
    if (bytes.byteLength !== sizeBytes || !equalBytes(found, id)) throw damaged(`chunk ${toHex(id)}`, 'it is another one');
    return bytes;
  }

  #block(index: number): Uint8Array {
    const known = this.#opened.get(index);
    if (known !== undefined) return known.bytes;
    const { secret, number, what, offset, sealedBytes } = must(this.#request.blocks[index], 'every piece has a block');
    const block = new OpenedBlock({ secret, number, what, sealed: this.#slot.subarray(offset, offset + sealedBytes) });
    const [oldest] = this.#opened.size < BLOCKS_KEPT ? [] : this.#opened;
    if (oldest !== undefined) {
      this.#opened.delete(oldest[0]);
      oldest[1][Symbol.dispose]();
    }
    this.#opened.set(index, block);
    return block.bytes;
  }

  [Symbol.dispose](): void {
    for (const block of this.#opened.values()) block[Symbol.dispose]();
    this.#opened.clear();
  }
}
