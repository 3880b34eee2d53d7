import { constants } from 'node:fs';
import { open, readdir, rm, stat } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { toHex } from '../core/bytes.ts';
import type { RandomBytes } from '../core/run.ts';
import { syncFolder } from './atomic-file.ts';

/**
 * One file of a spool. Its name holds its number, that of its first record, and random bytes that its checksums begin with. It is read
 * up to where the next file begins: what lies behind could not be flushed and was never confirmed.
 */
export type SpoolFile = {
  readonly path: string;
  readonly number: number;
  readonly first: number;
  readonly seed: number;
  /** What is known to be on the disk. */
  sizeBytes: number;
};

export type OpenSpoolFile = { readonly file: SpoolFile; readonly handle: FileHandle };

const NAME = /^([0-9]{8,15})-([0-9]{16})-([0-9a-f]{16})\.spool$/;

/** The spool's files, ascending; what else lies in the folder is no part of it. @throws Node's file system errors */
export async function listSpoolFiles(folder: string): Promise<SpoolFile[]> {
  const files: SpoolFile[] = [];
  for (const name of await readdir(folder)) {
    const [, number, first, seed] = NAME.exec(name) ?? [];
    if (number === undefined || first === undefined || seed === undefined) continue;
    const path = join(folder, name);
    const { size } = await stat(path);
    files.push({ path, number: Number(number), first: Number(first), seed: crc32(seed), sizeBytes: size });
  }
  return files.sort((left, right) => left.number - right.number);
}

/** A new empty file, whose name is on the disk. No number may be used twice, not even by an attempt that failed. @throws Node's file system errors */
export async function createSpoolFile(
  folder: string,
  { number, first }: { readonly number: number; readonly first: number },
  random: RandomBytes,
): Promise<OpenSpoolFile> {
  const seed = toHex(random(8));
  const path = join(folder, `${String(number).padStart(8, '0')}-${String(first).padStart(16, '0')}-${seed}.spool`);
  await using undo = new AsyncDisposableStack();
  const handle = await open(path, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, 0o600);
  undo.defer(async () => {
    await handle.close();
    await rm(path);
  });
  await syncFolder(folder);
  undo.move();
  return { file: { path, number, first, seed: crc32(seed), sizeBytes: 0 }, handle };
}
