import type { Run } from '../../core/run.ts';
import type { WriterKeys } from '../keys/keyring.ts';
import type { PackDirectory } from '../pack-directory.ts';

/** What became of one pack's data. A pack is good when no chunk is bad and there is no message. */
export type PackCheck = {
  /** Chunks that are not what they should be, by their place in the directory. */
  readonly badChunks: readonly number[];
  readonly chunks: number;
  readonly bytes: number;
  /** What is wrong with it, even where all chunks are good. */
  readonly message?: string | undefined;
};

/** Reads every byte of a pack, opens every block and recomputes every id. Several may run at once. */
export interface PackChecker extends AsyncDisposable {
  readonly atOnce: number;
  /** @throws OBJECT_NOT_FOUND when it was deleted meanwhile; nothing else for damage */
  check(pack: PackDirectory, keys: WriterKeys, run: Run): Promise<PackCheck>;
}
