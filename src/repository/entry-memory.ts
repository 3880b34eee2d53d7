import { closeSync, fsyncSync, openSync, readSync, renameSync, unlinkSync, writeSync } from 'node:fs';
import { crc32 } from 'node:zlib';
import { compareBytes, equalBytes } from '../core/bytes.ts';
import { isTidemarkError, systemCode } from '../core/errors.ts';
import { ByteBuilder } from './format/byte-builder.ts';
import { ByteCursor } from './format/byte-cursor.ts';
import type { ChunkRef } from './pipeline/engine.ts';

const MAGIC = Buffer.from('TMEM0001');
const FRAME_BYTES = 256 * 1024;
const MAX_FRAME_BYTES = 1024 * 1024 * 1024;
const ID_BYTES = 32;

/** What the last base stored of an entry. `chunks` absent: it has no content. */
export type RememberedEntry = {
  readonly name: Uint8Array;
  readonly fingerprint: Uint8Array;
  readonly attributes: Uint8Array;
  readonly chunks?: readonly ChunkRef[] | undefined;
};

/** Entries of the last base in ascending order, for a walk that goes the same way. */
export interface EntryMemory extends Disposable {
  /** The entry of that name if its fingerprint is the same. Names must be asked in ascending order. */
  match(name: Uint8Array, fingerprint: Uint8Array): RememberedEntry | undefined;
}

/** A memory of nothing. */
export const noMemory: EntryMemory = { match: () => undefined, [Symbol.dispose]: () => undefined };

/**
 * Opens a memory file; one that is absent, of another subject or damaged remembers nothing, or less. Losing it costs time, never
 * correctness.
 */
export function openEntryMemory(path: string, subject: string): EntryMemory {
  let descriptor: number;
  try {
    descriptor = openSync(path, 'r');
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return noMemory;
    throw error;
  }
  const frames = new FrameReader(descriptor);
  const head = frames.next();
  const wanted = Buffer.concat([MAGIC, Buffer.from(subject)]);
  if (head === undefined || !equalBytes(head, wanted)) {
    closeSync(descriptor);
    return noMemory;
  }
  return new FileMemory(frames, descriptor);
}

class FrameReader {
  readonly #descriptor: number;
  #offset = 0;

  constructor(descriptor: number) {
    this.#descriptor = descriptor;
  }

  /** The next frame, or undefined at the end or where the file is damaged. */
  next(): Uint8Array | undefined {
    const head = Buffer.alloc(8);
    if (readSync(this.#descriptor, head, 0, 8, this.#offset) !== 8) return undefined;
    const sizeBytes = head.readUInt32LE(0);
    if (sizeBytes > MAX_FRAME_BYTES) return undefined;
    const frame = Buffer.allocUnsafe(sizeBytes);
    if (readSync(this.#descriptor, frame, 0, sizeBytes, this.#offset + 8) !== sizeBytes) return undefined;
    if (crc32(frame) !== head.readUInt32LE(4)) return undefined;
    this.#offset += 8 + sizeBytes;
    return frame;
  }
}

class FileMemory implements EntryMemory {
  readonly #frames: FrameReader;
  readonly #descriptor: number;
  #cursor: ByteCursor | undefined;
  #current: RememberedEntry | undefined;
  #ended = false;

  constructor(frames: FrameReader, descriptor: number) {
    this.#frames = frames;
    this.#descriptor = descriptor;
  }

  match(name: Uint8Array, fingerprint: Uint8Array): RememberedEntry | undefined {
    while (true) {
      this.#current ??= this.#read();
      if (this.#current === undefined) return undefined;
      const order = compareBytes(this.#current.name, name);
      if (order > 0) return undefined;
      const found = this.#current;
      this.#current = undefined;
      if (order === 0) return equalBytes(found.fingerprint, fingerprint) ? found : undefined;
    }
  }

  #read(): RememberedEntry | undefined {
    if (this.#ended) return undefined;
    if (this.#cursor === undefined || this.#cursor.remaining === 0) {
      const frame = this.#frames.next();
      this.#ended = frame === undefined;
      if (frame === undefined) return undefined;
      this.#cursor = new ByteCursor(frame, 'the memory of entries');
    }
    try {
      return readEntry(this.#cursor);
    } catch (error) {
      if (!isTidemarkError(error)) throw error;
      this.#ended = true;
      return undefined;
    }
  }

  [Symbol.dispose](): void {
    if (this.#descriptor >= 0) closeSync(this.#descriptor);
  }
}

function readEntry(cursor: ByteCursor): RememberedEntry {
  const name = cursor.bytes(cursor.varint());
  const fingerprint = cursor.bytes(cursor.varint());
  const attributes = cursor.bytes(cursor.varint());
  const count = cursor.varint();
  if (count === 0) return { name, fingerprint, attributes };
  const chunks: ChunkRef[] = [];
  for (let left = count - 1; left > 0; left--) chunks.push({ id: cursor.bytes(ID_BYTES), sizeBytes: cursor.varint() });
  return { name, fingerprint, attributes, chunks };
}

/** Writes the memory of a base beside the old one; `commit` puts it in its place, dispose without drops it. */
export class EntryMemoryWriter implements Disposable {
  readonly #path: string;
  readonly #temporaryPath: string;
  readonly #frame = new ByteBuilder(FRAME_BYTES + 4096);
  #descriptor: number;

  /** `temporaryPath` is in the same folder as `path`, and this writer's alone. */
  constructor(options: { readonly path: string; readonly temporaryPath: string; readonly subject: string }) {
    this.#path = options.path;
    this.#temporaryPath = options.temporaryPath;
    this.#descriptor = openSync(this.#temporaryPath, 'w', 0o600);
    this.#frame.bytes(MAGIC).text(options.subject);
    this.#flush();
  }

  add(entry: RememberedEntry): void {
    const { name, fingerprint, attributes, chunks } = entry;
    this.#frame.varint(name.byteLength).bytes(name).varint(fingerprint.byteLength).bytes(fingerprint);
    this.#frame
      .varint(attributes.byteLength)
      .bytes(attributes)
      .varint(chunks === undefined ? 0 : chunks.length + 1);
    for (const chunk of chunks ?? []) this.#frame.bytes(chunk.id).varint(chunk.sizeBytes);
    if (this.#frame.sizeBytes >= FRAME_BYTES) this.#flush();
  }

  /** Once the base is committed. */
  commit(): void {
    this.#flush();
    fsyncSync(this.#descriptor);
    closeSync(this.#descriptor);
    this.#descriptor = -1;
    renameSync(this.#temporaryPath, this.#path);
  }

  #flush(): void {
    const frame = this.#frame.take();
    const head = Buffer.alloc(8);
    head.writeUInt32LE(frame.byteLength, 0);
    head.writeUInt32LE(crc32(frame), 4);
    writeSync(this.#descriptor, head);
    writeSync(this.#descriptor, frame);
  }

  [Symbol.dispose](): void {
    if (this.#descriptor < 0) return;
    closeSync(this.#descriptor);
    unlinkSync(this.#temporaryPath);
  }
}
