import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { equalBytes } from '../../../core/bytes.ts';
import { fromSystem, systemCode } from '../../../core/errors.ts';
import type { RandomBytes, Run } from '../../../core/run.ts';
import { ensureFolder, readSmallFile, replaceFile } from '../../../io/atomic-file.ts';

const TAIL_FILE = 'wal-tail';
/** Enough that two servers that went different ways can't both have it. */
export const TAIL_BYTES = 8_192;
const HEADER_BYTES = 8;

/** The end of the log as far as it has been received: what a server must have there to be taken for the same. */
export type Tail = { readonly start: bigint; readonly bytes: Uint8Array };

/** `atMs`: when it was kept, by this host's clock, and so all of it was there. */
export type KeptTail = Tail & { readonly atMs: number };

export function tailEnd({ start, bytes }: Tail): bigint {
  return start + BigInt(bytes.byteLength);
}

/** Undefined when there is none. */
export async function readTail(folder: string): Promise<KeptTail | undefined> {
  const path = join(folder, TAIL_FILE);
  try {
    const file = Buffer.from(await readSmallFile(path, HEADER_BYTES + TAIL_BYTES));
    const { mtimeMs } = await stat(path);
    return file.byteLength < HEADER_BYTES
      ? undefined
      : { start: file.readBigUInt64BE(0), bytes: file.subarray(HEADER_BYTES), atMs: Math.floor(mtimeMs) };
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return undefined;
    throw fromSystem(error, 'FAILED', `what is remembered of a server’s log in ${folder} can’t be read`);
  }
}

/** Small enough that it is never left half done. */
export async function writeTail(folder: string, { start, bytes }: Tail, random: RandomBytes): Promise<void> {
  const run: Run = { signal: new AbortController().signal };
  const header = Buffer.alloc(HEADER_BYTES);
  header.writeBigUInt64BE(start);
  await ensureFolder(folder, 0o700);
  await replaceFile(join(folder, TAIL_FILE), [header, bytes], { mode: 0o600, random }, run);
}

/** Whether a run of the log says the same as the tail where both have bytes. */
export function agrees(tail: Tail, start: bigint, bytes: Uint8Array): boolean {
  const from = start > tail.start ? start : tail.start;
  const [end, ownEnd] = [start + BigInt(bytes.byteLength), tailEnd(tail)];
  const upTo = end < ownEnd ? end : ownEnd;
  if (from >= upTo) return true;
  const part = (whole: Uint8Array, at: bigint): Uint8Array => whole.subarray(Number(from - at), Number(upTo - at));
  return equalBytes(part(tail.bytes, tail.start), part(bytes, start));
}

/** Keeps the last bytes of what passes by. */
export class RunningTail {
  readonly #pieces: Tail[] = [];

  push(start: bigint, bytes: Uint8Array): void {
    if (bytes.byteLength === 0) return;
    this.#pieces.push({ start, bytes });
    const first = this.#pieces[1]?.start ?? start;
    const later = start + BigInt(bytes.byteLength) - first;
    if (this.#pieces.length > 1 && later >= BigInt(TAIL_BYTES)) this.#pieces.shift();
  }

  /** Undefined before anything passed. */
  take(): Tail | undefined {
    const last = this.#pieces.at(-1);
    if (last === undefined) return undefined;
    const joined = Buffer.concat(this.#pieces.map(({ bytes }) => bytes));
    const bytes = joined.subarray(Math.max(0, joined.byteLength - TAIL_BYTES));
    return { start: tailEnd(last) - BigInt(bytes.byteLength), bytes };
  }
}
