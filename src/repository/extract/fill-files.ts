import { equalBytes, toHex } from '../../core/bytes.ts';
import { BugError, must } from '../../core/must.ts';
import { damaged } from '../format/byte-cursor.ts';
import type { PackSecret } from '../format/pack.ts';
import { createIdentify } from '../pipeline/identify.ts';
import type { Identify } from '../pipeline/identify.ts';
import { OpenedBlock } from '../pipeline/opened-block.ts';
import { packError } from '../pipeline/thread-error.ts';
import type { ThreadError } from '../pipeline/thread-error.ts';
import { unpackFiles } from './packed-files.ts';
import type { FillFile, PackedFiles } from './packed-files.ts';
import { TargetFile } from './target-file.ts';

const ID_BYTES = 32;
/** Files come in the order of their blocks, so a block is rarely wanted again after the next few. */
const BLOCKS_KEPT = 4;

/** A sealed block that lies in the slot. */
export type SealedBlock = {
  readonly secret: PackSecret;
  readonly number: number;
  readonly what: string;
  readonly offset: number;
  readonly sealedBytes: number;
};

/** The pieces of a file follow each other in the order of its content; `fileOf` ascends. */
export type FillRequest = {
  readonly chunkKey: Uint8Array;
  readonly blocks: readonly SealedBlock[];
  readonly files: PackedFiles;
  readonly fileOf: Uint32Array;
  readonly blockOf: Uint32Array;
  readonly offsets: Uint32Array;
  readonly sizes: Uint32Array;
  readonly ids: Uint8Array;
};

/** Files that failed, by their index. `created`: it was this job that made what is there of it. */
export type FilledFiles = {
  readonly failures: readonly { readonly file: number; readonly created: boolean; readonly error: ThreadError }[];
};

/** Opens blocks, proves every chunk by its id, and writes files. What is wrong with one file or block does not stop the others. */
export function fillFiles(slot: Uint8Array, request: FillRequest): FilledFiles {
  using filling = new Filling(slot, request);
  const failures: { file: number; created: boolean; error: ThreadError }[] = [];
  let piece = 0;
  let index = 0;
  for (const { fill: file } of unpackFiles(request.files)) {
    const first = piece;
    while (request.fileOf[piece] === index) piece++;
    let created = false;
    try {
      using target = openTarget(file);
      created = file.kind === 'whole';
      filling.fill(target, first, piece);
      if (file.kind === 'whole') target.finish(file.shape);
    } catch (error) {
      if (error instanceof BugError) throw error;
      failures.push({ file: index, created, error: packError(error) });
    }
    index++;
  }
  return { failures };
}

function openTarget(file: FillFile): TargetFile {
  return file.kind === 'whole' ? TargetFile.create(file.shape) : TargetFile.reopen(file.path, file.runs);
}

class Filling implements Disposable {
  readonly #slot: Uint8Array;
  readonly #request: FillRequest;
  readonly #identify: Identify;
  readonly #opened = new Map<number, OpenedBlock>();

  constructor(slot: Uint8Array, request: FillRequest) {
    this.#slot = slot;
    this.#request = request;
    this.#identify = createIdentify(request.chunkKey);
  }

  fill(target: TargetFile, first: number, end: number): void {
    for (let piece = first; piece < end; piece++) target.write(this.#chunk(piece));
  }

  #chunk(piece: number): Uint8Array {
    const { blockOf, offsets, sizes, ids } = this.#request;
    const why = 'every piece has a place';
    const offset = must(offsets[piece], why);
    const sizeBytes = must(sizes[piece], why);
    const block = this.#block(must(blockOf[piece], why));
    const bytes = block.subarray(offset, offset + sizeBytes);
    const id = ids.subarray(piece * ID_BYTES, (piece + 1) * ID_BYTES);
    const found = this.#identify(bytes);
    if (bytes.byteLength !== sizeBytes || !equalBytes(found, id)) {
      throw damaged(`chunk ${toHex(id)}`, 'it is another one');
    }
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
