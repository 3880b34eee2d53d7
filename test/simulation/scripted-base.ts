import type { Position } from '../../src/core/position.ts';
import type { Base, Content, Entry } from '../../src/core/recorder.ts';
import type { Run } from '../../src/core/run.ts';
import type { BaseContent } from './model.ts';

export type ScriptedBaseOptions = {
  readonly content: BaseContent;
  readonly cut: Position;
  /** Called before each read, for the time that it takes. */
  readonly pause: (run: Run) => Promise<void>;
};

/** A store whose entries are given. */
export function scriptedBase({ content, cut, pause }: ScriptedBaseOptions): Base {
  const entries = [...content]
    .toSorted(([left], [right]) => (left < right ? -1 : 1))
    .map(([name, bytes]): Entry => {
      const described = { attributes: Buffer.from(`of ${name}`), content: contentOf(bytes, pause) };
      return { name: Buffer.from(name), estimatedBytes: bytes.byteLength, describe: () => described };
    });
  return {
    entries: batchesOf(entries),
    retry: async () => undefined,
    finish: async () => ({ logFrom: cut, cut, skipped: [], skippedCount: 0, incompleteCount: 0 }),
    async [Symbol.asyncDispose]() {},
  };
}

async function* batchesOf(entries: readonly Entry[]): AsyncGenerator<readonly Entry[]> {
  for (const entry of entries) yield [entry];
}

function contentOf(bytes: Uint8Array, pause: (run: Run) => Promise<void>): Content {
  return {
    cut: 'stream',
    kind: 'reader',
    async open(run) {
      let at = 0;
      return {
        async read(into) {
          await pause(run);
          const piece = bytes.subarray(at, at + into.byteLength);
          into.set(piece);
          at += piece.byteLength;
          return piece.byteLength;
        },
        async [Symbol.asyncDispose]() {},
      };
    },
  };
}
