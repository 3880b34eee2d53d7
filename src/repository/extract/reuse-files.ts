import { closeSync, constants, fstatSync, openSync, readSync, unlinkSync } from 'node:fs';
import { createHmac, createSecretKey } from 'node:crypto';
import type { KeyObject } from 'node:crypto';
import { equalBytes } from '../../core/bytes.ts';
import { systemCode } from '../../core/errors.ts';
import { must } from '../../core/must.ts';
import { packError } from '../pipeline/thread-error.ts';
import type { ThreadError } from '../pipeline/thread-error.ts';
import { cloneFile } from '../../io/native-file.ts';
import { TargetFile } from './target-file.ts';
import type { TargetShape } from './target-file.ts';

const ID_BYTES = 32;
/** Sharing blocks costs a call; below this writing what was read anyway is as cheap. */
const CLONE_LEAST_BYTES = 256 * 1024;

export type ReuseFile = { readonly shape: TargetShape; readonly candidate: Uint8Array };

/** The chunks that each file should have, in the order of its content; `fileOf` ascends. */
export type ReuseRequest = {
  readonly chunkKey: Uint8Array;
  readonly files: readonly ReuseFile[];
  readonly fileOf: Uint32Array;
  readonly sizes: Uint32Array;
  readonly ids: Uint8Array;
  /** Whether blocks can be shared between candidates and targets, as far as is known. */
  readonly tryClone: boolean;
};

/** One for each file: 1 where the candidate held the content and the target is complete, 0 where nothing is there. */
export type ReusedFiles = { readonly reused: Uint8Array; readonly failures: readonly { readonly file: number; readonly error: ThreadError }[]; readonly cloned: boolean };

/**
 * Makes targets from candidates that hold the same content. What ends up in a target is what was compared: the bytes read, or the clone itself, so
 * that a candidate that changes meanwhile does no harm.
 */
export function reuseFiles(request: ReuseRequest): ReusedFiles {
  const reusing = new Reusing(request);
  const reused = new Uint8Array(request.files.length);
  const failures: { file: number; error: ThreadError }[] = [];
  let piece = 0;
  for (const [index, file] of request.files.entries()) {
    const first = piece;
    while (request.fileOf[piece] === index) piece++;
    try {
      reused[index] = reusing.reuse(file, first, piece) ? 1 : 0;
    } catch (error) {
      failures.push({ file: index, error: packError(error) });
    }
  }
  return { reused, failures, cloned: reusing.cloned };
}

class Reusing {
  readonly #request: ReuseRequest;
  readonly #key: KeyObject;
  #buffer = Buffer.allocUnsafe(1024 * 1024);
  #tryClone: boolean;
  cloned = false;

  constructor(request: ReuseRequest) {
    this.#request = request;
    this.#key = createSecretKey(request.chunkKey);
    this.#tryClone = request.tryClone;
  }

  reuse({ shape, candidate }: ReuseFile, first: number, end: number): boolean {
    const from = openCandidate(candidate);
    if (from === undefined) return false;
    try {
      if (fstatSync(from).size !== shape.fileSizeBytes) return false;
      // The first chunk decides most mismatches, before anything is created.
      if (end > first && !this.#same(from, this.#placeOf(shape, 0), first)) return false;
      return this.#make(shape, from, first, end);
    } finally {
      closeSync(from);
    }
  }

  #make(shape: TargetShape, from: number, first: number, end: number): boolean {
    using target = TargetFile.create(shape);
    const isClone = this.#tryClone && shape.fileSizeBytes >= CLONE_LEAST_BYTES && this.#clone(from, target.descriptor);
    const source = isClone ? target.descriptor : from;
    let contentOffset = 0;
    for (let piece = first; piece < end; piece++) {
      const sizeBytes = must(this.#request.sizes[piece], 'every chunk has a size');
      if (!this.#same(source, this.#placeOf(shape, contentOffset), piece)) {
        unlinkSync(Buffer.from(shape.path));
        return false;
      }
      if (isClone) target.skip(sizeBytes);
      else target.write(this.#buffer.subarray(0, sizeBytes));
      contentOffset += sizeBytes;
    }
    target.finish();
    return true;
  }

  #clone(from: number, to: number): boolean {
    this.#tryClone = cloneFile(from, to);
    this.cloned ||= this.#tryClone;
    return this.#tryClone;
  }

  /** Reads a chunk from where it should lie into the buffer and compares its id. */
  #same(file: number, runs: readonly { readonly offset: number; readonly contentOffset: number; readonly end: number }[], piece: number): boolean {
    const sizeBytes = must(this.#request.sizes[piece], 'every chunk has a size');
    if (this.#buffer.byteLength < sizeBytes) this.#buffer = Buffer.allocUnsafe(sizeBytes);
    let filled = 0;
    for (const run of runs) {
      while (filled < sizeBytes) {
        const room = Math.min(sizeBytes - filled, run.end - run.contentOffset - filled);
        if (room <= 0) break;
        const read = readSync(file, this.#buffer, filled, room, run.offset + filled);
        if (read === 0) return false;
        filled += read;
      }
    }
    if (filled < sizeBytes) return false;
    const id = this.#request.ids.subarray(piece * ID_BYTES, (piece + 1) * ID_BYTES);
    return equalBytes(createHmac('sha256', this.#key).update(this.#buffer.subarray(0, sizeBytes)).digest(), id);
  }

  /** Where the content lies in the file from `contentOffset` on: as if each run began at that place of the content. */
  #placeOf(shape: TargetShape, contentOffset: number): readonly { readonly offset: number; readonly contentOffset: number; readonly end: number }[] {
    const runs: { offset: number; contentOffset: number; end: number }[] = [];
    let start = 0;
    for (const extent of shape.extents ?? [{ offset: 0, sizeBytes: shape.fileSizeBytes }]) {
      const end = start + extent.sizeBytes;
      if (end > contentOffset) runs.push({ offset: extent.offset + contentOffset - start, contentOffset, end });
      start = end;
    }
    return runs;
  }
}

/** Undefined for what can't be read: it is no candidate then. */
function openCandidate(path: Uint8Array): number | undefined {
  try {
    return openSync(Buffer.from(path), constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    if (systemCode(error) === undefined) throw error;
    return undefined;
  }
}
