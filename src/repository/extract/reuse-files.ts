import { BugError } from '../../core/must.ts';
import { packError } from '../pipeline/thread-error.ts';
import type { ThreadError } from '../pipeline/thread-error.ts';
import { Candidate, cloneCandidate } from './candidate.ts';
import { ChunkProof } from './chunk-proof.ts';
import type { ProofRequest } from './chunk-proof.ts';
import { ContentLayout } from './content-layout.ts';
import type { FileRun } from './content-layout.ts';
import { countFiles, unpackFiles } from './packed-files.ts';
import type { JobFile, PackedFiles } from './packed-files.ts';
import { TargetFile } from './target-file.ts';
import type { TargetShape } from './target-file.ts';

/** Whole files with a candidate each, and the chunks that they should have, in the order of their contents; `fileOf` ascends. */
export type ReuseRequest = ProofRequest & {
  readonly files: PackedFiles;
  readonly fileOf: Uint32Array;
  /** Whether blocks can be shared between candidates and targets, as far as is known. */
  readonly canClone: boolean;
  /** Smaller files are copied. */
  readonly cloneLeastBytes: number;
};

export type ReusedFiles = {
  /** One for each file: 1 where the candidate held the content and the target is complete, 0 where nothing is there. */
  readonly made: Uint8Array;
  /** Files that failed, by their index; what was written of them is still there. */
  readonly failures: readonly { readonly file: number; readonly error: ThreadError }[];
  readonly canClone: boolean;
};

/**
 * Makes targets from candidates that hold the same content. What ends up in a target is what was proven: the bytes read, or the clone itself, so
 * that a candidate that changes meanwhile does no harm.
 */
export function reuseFiles(request: ReuseRequest): ReusedFiles {
  const reusing = new Reusing(request);
  const made = new Uint8Array(countFiles(request.files));
  const failures: { file: number; error: ThreadError }[] = [];
  let chunk = 0;
  let index = 0;
  for (const file of unpackFiles(request.files)) {
    const first = chunk;
    while (request.fileOf[chunk] === index) chunk++;
    try {
      made[index] = reusing.reuse(file, first, chunk) ? 1 : 0;
    } catch (error) {
      if (error instanceof BugError) throw error;
      failures.push({ file: index, error: packError(error) });
    }
    index++;
  }
  return { made, failures, canClone: reusing.canClone };
}

class Reusing {
  readonly #proof: ChunkProof;
  readonly #cloneLeastBytes: number;
  canClone: boolean;

  constructor(request: ReuseRequest) {
    this.#proof = new ChunkProof(request);
    this.#cloneLeastBytes = request.cloneLeastBytes;
    this.canClone = request.canClone;
  }

  reuse({ fill, candidate }: JobFile, first: number, end: number): boolean {
    if (fill.kind === 'part' || candidate === undefined) throw new BugError('a part, or no candidate');
    const { shape } = fill;
    using from = Candidate.open(candidate, shape.fileSizeBytes);
    if (from === undefined) return false;
    const wanted = { from, shape, first, end };
    const cloned = this.canClone && shape.fileSizeBytes >= this.#cloneLeastBytes ? this.#clone(wanted) : undefined;
    return cloned ?? this.#copy(wanted);
  }

  /** Undefined where it can't be cloned. */
  #clone({ from, shape, first, end }: Reuse): boolean | undefined {
    using target = TargetFile.create(shape);
    const cloning = cloneCandidate(from, target, shape);
    this.canClone = cloning !== 'never';
    if (cloning !== 'whole') {
      target.discard();
      return undefined;
    }
    // The candidate is often in memory, where the clone never is.
    const before = from.stillness(target);
    let isSame = this.#holds(before === undefined ? target : from, { shape, first, end });
    if (before !== undefined && !from.isStill(before)) isSame = this.#holds(target, { shape, first, end });
    for (let chunk = first; isSame && chunk < end; chunk++) target.skip(this.#proof.sizeOf(chunk));
    return keep(target, shape, isSame);
  }

  #holds(
    { descriptor }: { readonly descriptor: number },
    { shape, first, end }: Pick<Reuse, 'shape' | 'first' | 'end'>,
  ): boolean {
    const layout = ContentLayout.of(shape);
    for (let chunk = first; chunk < end; chunk++) {
      const runs = layout.take(this.#proof.sizeOf(chunk));
      if (this.#proof.read(descriptor, chunk, runs) === undefined) return false;
    }
    return true;
  }

  #copy({ from, shape, first, end }: Reuse): boolean {
    const layout = ContentLayout.of(shape);
    const read = (chunk: number): Uint8Array | undefined =>
      this.#proof.read(from.descriptor, chunk, layout.take(this.#proof.sizeOf(chunk)));
    // The first chunk decides most mismatches, before anything is created.
    const start = first < end ? read(first) : NOTHING;
    if (start === undefined) return false;
    using target = TargetFile.create(shape);
    target.write(start);
    for (let chunk = first + 1; chunk < end; chunk++) {
      const bytes = read(chunk);
      if (bytes === undefined) return keep(target, shape, false);
      target.write(bytes);
    }
    return keep(target, shape, true);
  }
}

type Reuse = { readonly from: Candidate; readonly shape: TargetShape; readonly first: number; readonly end: number };

function keep(target: TargetFile, shape: TargetShape, isSame: boolean): boolean {
  if (isSame) target.finish(shape);
  else target.discard();
  return isSame;
}

const NOTHING = new Uint8Array(0);

/** Creates a file that comes in stretches, and clones the candidate into it where that can be. */
export type BeginRequest = {
  readonly shape: TargetShape;
  readonly candidate: Uint8Array | undefined;
  readonly canClone: boolean;
};
export type BegunFile = {
  readonly isClone: boolean;
  readonly canClone: boolean;
  readonly error?: ThreadError | undefined;
};

export function beginFile({ shape, candidate, canClone }: BeginRequest): BegunFile {
  try {
    using target = TargetFile.create(shape);
    if (candidate === undefined || !canClone) return { isClone: false, canClone };
    using from = Candidate.open(candidate, shape.fileSizeBytes);
    const cloning = from === undefined ? 'empty' : cloneCandidate(from, target, shape);
    return { isClone: cloning === 'whole', canClone: cloning !== 'never' };
  } catch (error) {
    if (error instanceof BugError) throw error;
    return { isClone: false, canClone, error: packError(error) };
  }
}

/** Chunks of a file that was begun, and where they lie in it. */
export type StretchRequest = ProofRequest & {
  readonly path: Uint8Array;
  readonly candidate: { readonly path: Uint8Array; readonly fileSizeBytes: number };
  readonly isClone: boolean;
  readonly runs: readonly FileRun[];
};
/** `same`: 1 for each chunk that is in the target now. */
export type ReusedStretch = { readonly same: Uint8Array; readonly error?: ThreadError | undefined };

/** Takes from the candidate, or leaves of its clone, the chunks that are as they should be. */
export function reuseStretch(request: StretchRequest): ReusedStretch {
  const { sizes, path, runs, isClone, candidate } = request;
  const same = new Uint8Array(sizes.length);
  try {
    using target = TargetFile.reopen(path, runs);
    using from = isClone ? undefined : Candidate.open(candidate.path, candidate.fileSizeBytes);
    const file = isClone ? target.descriptor : from?.descriptor;
    if (file === undefined) return { same };
    const proof = new ChunkProof(request);
    const layout = new ContentLayout(runs);
    for (const [chunk, sizeBytes] of sizes.entries()) {
      const bytes = proof.read(file, chunk, layout.take(sizeBytes));
      if (bytes !== undefined) same[chunk] = 1;
      if (bytes === undefined || isClone) target.skip(sizeBytes);
      else target.write(bytes);
    }
    return { same };
  } catch (error) {
    if (error instanceof BugError) throw error;
    return { same, error: packError(error) };
  }
}
