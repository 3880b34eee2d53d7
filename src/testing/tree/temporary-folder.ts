import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export type TemporaryFolder = AsyncDisposable & {
  readonly path: string;
  /** A path in it. */
  at(...components: readonly string[]): string;
};

/** A new empty folder for one test; it is removed with all it holds when it is disposed. */
export function temporaryFolder(name = 'tidemark-test'): TemporaryFolder {
  const path = mkdtempSync(join(tmpdir(), `${name}-`));
  return {
    path,
    at: (...components) => join(path, ...components),
    async [Symbol.asyncDispose]() {
      rmSync(path, { recursive: true, force: true });
    },
  };
}
