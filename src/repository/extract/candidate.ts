import { closeSync, constants, fstatSync, openSync } from 'node:fs';
import { systemCode } from '../../core/errors.ts';
import { cloneFile, dataExtents } from '../../io/native-file.ts';
import type { TargetFile, TargetShape } from './target-file.ts';

/** A file that may hold a content already, open for reading. */
export class Candidate implements Disposable {
  readonly descriptor: number;

  private constructor(descriptor: number) {
    this.descriptor = descriptor;
  }

  /** Undefined for what is no file of that size, or can't be opened. Links are not followed, and it never waits. */
  static open(path: Uint8Array, fileSizeBytes: number): Candidate | undefined {
    let descriptor: number;
    try {
      descriptor = openSync(Buffer.from(path), constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    } catch (error) {
      if (systemCode(error) === undefined) throw error;
      return undefined;
    }
    const stats = fstatSync(descriptor);
    if (stats.isFile() && stats.size === fileSizeBytes) return new Candidate(descriptor);
    closeSync(descriptor);
    return undefined;
  }

  [Symbol.dispose](): void {
    closeSync(this.descriptor);
  }
}

/**
 * `whole`: the target has the candidate's blocks, exactly its size, and nothing in its holes; what its runs hold is to be proven.
 * `empty`: this candidate can't be cloned. `never`: nor can others. The target is empty then.
 */
export type Cloning = 'whole' | 'empty' | 'never';

export function cloneCandidate(from: Candidate, target: TargetFile, shape: TargetShape): Cloning {
  try {
    if (!cloneFile(from.descriptor, target.descriptor)) return 'never';
    if (hasShape(target.descriptor, shape)) return 'whole';
  } catch (error) {
    // Whatever is wrong with the target comes back when it is written.
    if (systemCode(error) === undefined) throw error;
  }
  target.clear(shape);
  return 'empty';
}

/** The candidate may have changed since it was looked at, and have data where the target is to have holes. */
function hasShape(file: number, { fileSizeBytes, extents }: TargetShape): boolean {
  if (fstatSync(file).size !== fileSizeBytes) return false;
  if (extents === undefined) return true;
  let next = 0;
  return dataExtents(file, fileSizeBytes).every(({ offset, sizeBytes }) => {
    // Runs may follow each other without a hole.
    for (let at = offset; at < offset + sizeBytes; ) {
      const run = extents[next];
      if (run === undefined || run.offset > at) return false;
      if (run.offset + run.sizeBytes > at) at = run.offset + run.sizeBytes;
      if (at < offset + sizeBytes) next++;
    }
    return true;
  });
}
