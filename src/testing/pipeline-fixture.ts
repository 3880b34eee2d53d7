import { createCipheriv, createHash } from 'node:crypto';
import { toHex } from '../core/bytes.ts';
import type { Content } from '../core/recorder.ts';
import type { Run } from '../core/run.ts';
import { openBlock } from '../repository/pipeline/block.ts';
import type { BlockSink, PipelineEngine, StoreOutcome, StoreSource } from '../repository/pipeline/engine.ts';

/**
 * Everything a thousand times smaller than in a repository, so that a content of a few KiB has many chunks and
 * windows.
 */
export const SMALL = {
  sizes: { minBytes: 512, averageBytes: 2048, maxBytes: 8192, pageBytes: 1024 },
  capacityBytes: 32 * 1024,
  keys: {
    chunkKey: createHash('sha256').update('chunk key').digest(),
    gear: new Uint32Array(256).map((_, index) => createHash('sha256').update(`gear ${index}`).digest().readUInt32LE()),
  },
} as const;

export const NEVER: Run = { signal: new AbortController().signal };

/** The same bytes for the same seed; `text` compresses, the rest does not. */
export function bytesOf(seed: string, sizeBytes: number, text = false): Buffer {
  if (text) return Buffer.alloc(sizeBytes, `${seed} is a line of text that repeats\n`);
  const key = createHash('sha256').update(seed).digest();
  return createCipheriv('aes-256-ctr', key, Buffer.alloc(16)).update(Buffer.alloc(sizeBytes));
}

/** A content that is pulled: each read gives `stepBytes` at most. `failAt`: the read that would pass it fails. */
export function readerOf(
  bytes: Uint8Array,
  options: {
    stepBytes?: number;
    failAt?: number;
    cut?: Content['cut'];
    onRead?: () => void;
    onDispose?: () => void;
  } = {},
): Content {
  const { stepBytes = bytes.byteLength, failAt, cut = 'stream', onRead, onDispose } = options;
  return {
    cut,
    kind: 'reader',
    open: async () => {
      let at = 0;
      return {
        read: async (into) => {
          onRead?.();
          if (failAt !== undefined && at >= failAt) throw new Error('the reader failed');
          const piece = bytes.subarray(at, at + Math.min(stepBytes, into.byteLength));
          into.set(piece);
          at += piece.byteLength;
          return piece.byteLength;
        },
        [Symbol.asyncDispose]: async () => onDispose?.(),
      };
    },
  };
}

/** What an engine did, in a form that can be compared. */
export type StoreRecord = {
  readonly claims: readonly string[];
  readonly blocks: readonly string[];
  readonly outcomes: readonly string[];
  /** The bytes of all chunks that came in blocks, by their ids in hexadecimal. */
  readonly chunks: ReadonlyMap<string, Uint8Array>;
};

/** Takes each chunk once, but none whose id begins with a byte that `knows` accepts. */
export class RecordingSink implements BlockSink {
  readonly claims: string[] = [];
  readonly blocks: string[] = [];
  readonly chunks = new Map<string, Uint8Array>();
  readonly #claimed = new Set<string>();
  readonly #knows: (firstByte: number) => boolean;

  constructor(knows: (firstByte: number) => boolean = () => false) {
    this.#knows = knows;
  }

  claim(id: Uint8Array, sizeBytes: number): boolean {
    const name = toHex(id);
    this.claims.push(`${name} ${sizeBytes}`);
    if (this.#claimed.has(name) || this.#knows(id[0] ?? 0)) return false;
    this.#claimed.add(name);
    return true;
  }

  async block(block: Parameters<BlockSink['block']>[0]): Promise<void> {
    const digest = createHash('sha256').update(block.plain).digest('hex');
    this.blocks.push(`${digest} ${block.plainBytes} ${block.chunks.map(({ id }) => toHex(id)).join(' ')}`);
    const opened = openBlock(block.plain);
    let at = 0;
    for (const { id, sizeBytes } of block.chunks) {
      this.chunks.set(toHex(id), Uint8Array.from(opened.subarray(at, at + sizeBytes)));
      at += sizeBytes;
    }
    if (at !== opened.byteLength || at !== block.plainBytes) throw new Error('a block does not hold what it says');
  }
}

/** Stores the sources, `batchSize` at a time, and records all that the engine does. */
export async function recordStore(
  engine: PipelineEngine,
  sources: readonly StoreSource<string>[],
  options: { batchSize?: number; knows?: (firstByte: number) => boolean } = {},
): Promise<StoreRecord> {
  const sink = new RecordingSink(options.knows);
  const outcomes: string[] = [];
  for await (const batch of engine.store(inBatches(sources, options.batchSize ?? 7), sink, NEVER)) {
    outcomes.push(...batch.map(describeOutcome));
  }
  return { claims: sink.claims, blocks: sink.blocks, outcomes, chunks: sink.chunks };
}

export async function* inBatches<Item>(items: readonly Item[], batchSize: number): AsyncGenerator<readonly Item[]> {
  for (let at = 0; at < items.length; at += batchSize) yield items.slice(at, at + batchSize);
}

export function describeOutcome(outcome: StoreOutcome<string>): string {
  if ('chunks' in outcome) {
    return `${outcome.tag}: ${outcome.sizeBytes} ${outcome.chunks.map(({ id, sizeBytes }) => `${toHex(id)} ${sizeBytes}`).join(' ')}`;
  }
  const { failure } = outcome;
  if (!(failure instanceof Error)) return `${outcome.tag}: ${String(failure)}`;
  const code = 'code' in failure ? String(failure.code) : '';
  return `${outcome.tag}: ${failure.name} ${code} ${failure.message}`;
}
