import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { isTidemarkError } from '../../../core/errors.ts';
import { createSeededRandom } from '../../../flow/random.ts';
import type { SeededRandom } from '../../../flow/random.ts';
import { temporaryFolder } from '../../../testing/tree/temporary-folder.ts';
import { TarReader } from './tar-reader.ts';
import type { PullBytes } from './tar-reader.ts';

function inPieces(archive: Buffer, random: SeededRandom): PullBytes {
  let at = 0;
  return async () => {
    if (at >= archive.byteLength) return undefined;
    const piece = archive.subarray(at, at + 1 + random.integer(3_000));
    at += piece.byteLength;
    return piece;
  };
}

type Found = { readonly name: string; readonly type: string; readonly mode: number; readonly bytes: Buffer };

async function readTar(archive: Buffer, random: SeededRandom): Promise<readonly Found[]> {
  const tar = new TarReader(inPieces(archive, random));
  const found: Found[] = [];
  for (let entry = await tar.next(); entry !== undefined; entry = await tar.next()) {
    const pieces: Buffer[] = [];
    // Some are left unread.
    while (!random.chance(0.01)) {
      const into = Buffer.alloc(1 + random.integer(2_000));
      const count = await tar.read(into);
      if (count === 0) break;
      pieces.push(into.subarray(0, count));
    }
    const { name, type, mode } = entry;
    found.push({ name, type, mode, bytes: Buffer.concat(pieces) });
  }
  return found;
}

test('a tar is read as it was written, whatever pieces it comes in', async () => {
  const seed = Math.floor(Math.random() * 1e9);
  const random = createSeededRandom(seed);
  await using folder = temporaryFolder();
  mkdirSync(folder.at('data', 'base', '5'), { recursive: true });
  const files = new Map<string, Buffer>();
  for (const [index, sizeBytes] of [0, 1, 511, 512, 513, 8_192, 100_000].entries()) {
    const bytes = Buffer.from(random.bytes(sizeBytes));
    files.set(`base/5/${index}`, bytes);
    writeFileSync(folder.at('data', 'base', '5', String(index)), bytes, { mode: 0o640 });
  }
  const archive = execFileSync('tar', ['-C', folder.at('data'), '--format=ustar', '-cf', '-', '.'], { maxBuffer: 1e8 });
  // Servers before 15 leave out the empty blocks at the end.
  const bare = archive.subarray(0, lastUsed(archive));
  for (const [round, bytes] of [archive, bare, archive, bare].entries()) {
    const found = await readTar(bytes, random);
    for (const [name, content] of files) {
      const entry = found.find((one) => one.name === name);
      assert.equal(entry?.mode, 0o640, `seed ${seed}, round ${round}`);
      assert.ok(
        entry !== undefined && content.subarray(0, entry.bytes.byteLength).equals(entry.bytes),
        `seed ${seed}, ${name}`,
      );
    }
    assert.ok(found.some(({ name, type }) => name === 'base/5' && type === 'folder'));
    assert.equal(found.filter(({ name }) => name === '').length, 1, 'the folder itself');
  }
});

function lastUsed(archive: Buffer): number {
  let end = archive.byteLength;
  while (archive.subarray(end - 512, end).every((byte) => byte === 0)) end -= 512;
  return end;
}

test('an archive that ends in the middle, or is none, is told', async () => {
  const random = createSeededRandom('cut');
  await using folder = temporaryFolder();
  writeFileSync(folder.at('file'), Buffer.alloc(5_000, 7));
  const archive = execFileSync('tar', ['-C', folder.path, '--format=ustar', '-cf', '-', 'file']);
  const isTold = (error: unknown): boolean => isTidemarkError(error, 'STORE_UNREACHABLE');
  const readAll = async (bytes: Buffer): Promise<void> => {
    const tar = new TarReader(inPieces(bytes, random));
    while ((await tar.next()) !== undefined);
  };
  await readAll(archive);
  for (const length of [100, 512, 700, 5_000]) await assert.rejects(readAll(archive.subarray(0, length)), isTold);
  const wrong = Buffer.from(archive);
  wrong[5] = 1;
  await assert.rejects(readAll(wrong), isTold);
});
