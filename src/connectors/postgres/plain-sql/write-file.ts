import { open } from 'node:fs/promises';
import type { Run } from '../../../core/run.ts';
import { writePieces } from '../../../io/file-pieces.ts';

/** Writes a stream to a file, anew, and to the disk. @throws what the stream throws, Node's file system errors */
export async function writeStream(path: string, pieces: AsyncIterable<Uint8Array>, run: Run): Promise<number> {
  await using file = await open(path, 'w', 0o600);
  let sizeBytes = 0;
  for await (const piece of pieces) {
    await writePieces(file, [piece], { offset: sizeBytes, run });
    sizeBytes += piece.byteLength;
  }
  await file.sync();
  return sizeBytes;
}
