import { readSync } from 'node:fs';
import { equalBytes } from '../../core/bytes.ts';
import { systemCode } from '../../core/errors.ts';
import { must } from '../../core/must.ts';
import { createIdentify } from '../pipeline/identify.ts';
import type { Identify } from '../pipeline/identify.ts';
import type { FileRun } from './content-layout.ts';

const ID_BYTES = 32;

/** Chunks that files should hold. */
export type ProofRequest = { readonly chunkKey: Uint8Array; readonly sizes: Uint32Array; readonly ids: Uint8Array };

/** Reads chunks from files and proves them by their ids, with memory for one. */
export class ChunkProof {
  readonly #request: ProofRequest;
  readonly #identify: Identify;
  #buffer = Buffer.allocUnsafe(1024 * 1024);

  constructor(request: ProofRequest) {
    this.#request = request;
    this.#identify = createIdentify(request.chunkKey);
  }

  sizeOf(chunk: number): number {
    return must(this.#request.sizes[chunk], 'every chunk has a size');
  }

  /** The chunk's bytes when they lie in these runs of the file, until the next call. Undefined as well for what can't be read. */
  read(file: number, chunk: number, runs: readonly FileRun[]): Uint8Array | undefined {
    const sizeBytes = this.sizeOf(chunk);
    if (this.#buffer.byteLength < sizeBytes) this.#buffer = Buffer.allocUnsafe(sizeBytes);
    if (!this.#fill(file, runs)) return undefined;
    const bytes = this.#buffer.subarray(0, sizeBytes);
    const id = this.#request.ids.subarray(chunk * ID_BYTES, (chunk + 1) * ID_BYTES);
    return equalBytes(this.#identify(bytes), id) ? bytes : undefined;
  }

  #fill(file: number, runs: readonly FileRun[]): boolean {
    let filled = 0;
    for (const { offset, sizeBytes } of runs) {
      for (let done = 0; done < sizeBytes; ) {
        const read = this.#readSome(file, { into: filled, sizeBytes: sizeBytes - done, offset: offset + done });
        if (read === 0) return false;
        done += read;
        filled += read;
      }
    }
    return true;
  }

  /** 0 at the end of the file, and where it can't be read. */
  #readSome(
    file: number,
    { into, sizeBytes, offset }: { readonly into: number; readonly sizeBytes: number; readonly offset: number },
  ): number {
    try {
      return readSync(file, this.#buffer, into, sizeBytes, offset);
    } catch (error) {
      if (systemCode(error) === undefined) throw error;
      return 0;
    }
  }
}
