import { chmodSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
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
      if (process.geteuid?.() !== 0) openFolders(Buffer.from(path));
      rmSync(path, { recursive: true, force: true });
    },
  };
}

/** Whoever is not root can't remove what lies in a folder without permissions. */
function openFolders(folder: Buffer): void {
  chmodSync(folder, 0o700);
  for (const entry of readdirSync(folder, { withFileTypes: true, encoding: 'buffer' })) {
    if (entry.isDirectory()) openFolders(Buffer.concat([folder, Buffer.from('/'), entry.name]));
  }
}
