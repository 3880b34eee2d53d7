import type { Content } from '../../core/recorder.ts';
import type { Run } from '../../core/run.ts';

/** A chunk of a content: its id (32 bytes) and its size before compression. */
export type ChunkRef = { readonly id: Uint8Array; readonly sizeBytes: number };

/** How contents are cut; from the repository's header. */
export type ChunkSizes = {
  readonly minBytes: number;
  readonly averageBytes: number;
  readonly maxBytes: number;
  readonly pageBytes: number;
};

/** `gear`: 256 32-bit numbers, the writer's own. `chunkKey`: the HMAC key of content ids. */
export type CutKeys = { readonly chunkKey: Uint8Array; readonly gear: Uint32Array };

/** `content` absent: nothing to read, the source only keeps its place in the order. */
export type StoreSource<Tag> = { readonly tag: Tag; readonly content?: Content | undefined };

/**
 * One for each source, in the order of the sources. `failure`: it could not be read to the end as described (a system
 * error with its `code`, or ContentChangedError); chunks of it, `readBytes` together, were claimed and may have been stored, which is harmless.
 */
export type StoreOutcome<Tag> =
  | {
      readonly tag: Tag;
      readonly chunks: readonly ChunkRef[];
      readonly sizeBytes: number;
      readonly failure?: undefined;
    }
  | { readonly tag: Tag; readonly failure: unknown; readonly readBytes: number };

/** The plain of a block as the format has it (encoding, size, payload), and the chunks in it, in order. */
export type PlainBlock = {
  readonly plain: Uint8Array;
  readonly plainBytes: number;
  readonly chunks: readonly ChunkRef[];
};

/**
 * Who decides what is new and takes it. Called on the owner's thread only. The claims come in an order that depends
 * on the sources alone, and so do the blocks; claims run ahead of blocks by as much as the engine has under way.
 */
export interface BlockSink {
  /** True when the chunk must be stored: then it comes in a block, once. The engine asks again for each occurrence. */
  claim(id: Uint8Array, sizeBytes: number): boolean;
  /**
   * A block of claimed chunks. `plain` is the sink's until the promise settles, then it is reused. Holds the engine
   * back.
   */
  block(block: PlainBlock, run: Run): Promise<void>;
}

/**
 * Reads, cuts, identifies and compresses contents. Two engines, in place and on workers, make the same claims, blocks
 * and outcomes, byte for byte. Dispose ends what still runs; it can be repeated.
 */
export interface PipelineEngine extends AsyncDisposable {
  /**
   * An outcome comes once its chunks are with the sink. Sources are collected before they are worked on, and must not
   * wait for the outcomes of earlier ones. The run ends when the sink or the sources throw, when the signal aborts,
   * and when the outcomes are left early; then nothing of it is under way any more. Several may run at once, also one
   * within the loop over another's outcomes.
   * @throws what the sink or the sources throw, the signal's reason, FAILED when a worker has crashed
   */
  store<Tag>(
    sources: AsyncIterable<readonly StoreSource<Tag>[]>,
    sink: BlockSink,
    run: Run,
  ): AsyncIterable<readonly StoreOutcome<Tag>[]>;
  /** The plain of one block that holds `chunks` one after another. The result is the caller's. */
  compress(
    chunks: readonly Uint8Array[],
    run: Run,
  ): Promise<{ readonly plain: Uint8Array; readonly plainBytes: number }>;
}
