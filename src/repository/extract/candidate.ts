import { closeSync, constants, fstatSync, openSync, statfsSync } from 'node:fs';
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

  /**
   * What the file is now, where a change from here on would show in `isStill`. Undefined where it might not: on a file system of which other
   * machines may write, and when its last change is so recent, by the same clock that made `later` just now, that the next one might have its time.
   */
  stillness(later: TargetFile): Stillness | undefined {
    const { mtimeNs, ctimeNs } = fstatSync(this.descriptor, { bigint: true });
    const nowNs = fstatSync(later.descriptor, { bigint: true }).ctimeNs;
    if (nowNs - ctimeNs < TICK_NS) return undefined;
    return LOCAL_FILE_SYSTEMS.includes(statfsSync(`/proc/self/fd/${this.descriptor}`).type)
      ? { mtimeNs, ctimeNs }
      : undefined;
  }

  isStill(before: Stillness): boolean {
    const { mtimeNs, ctimeNs } = fstatSync(this.descriptor, { bigint: true });
    return mtimeNs === before.mtimeNs && ctimeNs === before.ctimeNs;
  }

  [Symbol.dispose](): void {
    closeSync(this.descriptor);
  }
}

type Stillness = { readonly mtimeNs: bigint; readonly ctimeNs: bigint };

/** Coarser than the time stamps of these. */
const TICK_NS = 1_000_000_000n;
const [BTRFS, XFS] = [0x9123_683e, 0x5846_5342];
const LOCAL_FILE_SYSTEMS: readonly number[] = [BTRFS, XFS];

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
