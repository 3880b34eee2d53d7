import type { Commit } from '../../core/change.ts';
import { isOrder } from '../../core/position.ts';
import type { Position } from '../../core/position.ts';
import { ByteBuilder } from './byte-builder.ts';
import { ByteCursor } from './byte-cursor.ts';
import { readContent, writeContent } from './node.ts';
import type { LeafItem } from './node.ts';

/** What is stored of one change: what is there from then on under a name, or that nothing is. */
export type StoredChange = LeafItem | { readonly name: Uint8Array; readonly removed: true };

/** Changes in the order of commits. `commit`: everything up to that position has come. */
export type StoredPiece = { readonly changes: readonly StoredChange[]; readonly commit?: Commit | undefined };

/** From where on a payload tells what happened. */
export type PayloadStart = Pick<Position, 'lineage' | 'order'>;

const REMOVED = 0;
const PRESENT = 1;
const MAX_TEXT_BYTES = 64 * 1024;
/** What is longer is copied once, when the pieces are taken. */
const COPIED_BYTES = 4 * 1024;

/** Writes the payload of a frame; see docs/repository-format.md. Payloads of one history in a row are one when their pieces are put in a row. */
export class PayloadBuilder {
  readonly #body = new ByteBuilder(16 * 1024);
  readonly #parts: Uint8Array[] = [];
  #partBytes = 0;

  get sizeBytes(): number {
    return this.#partBytes + this.#body.sizeBytes;
  }

  /** Attributes must not change until the pieces are taken. */
  piece({ changes, commit }: StoredPiece): void {
    const body = this.#body.varint(changes.length);
    for (const change of changes) {
      body
        .u8('removed' in change ? REMOVED : PRESENT)
        .varint(change.name.byteLength)
        .bytes(change.name);
      if ('removed' in change) continue;
      body.varint(change.attributes.byteLength);
      if (change.attributes.byteLength <= COPIED_BYTES) body.bytes(change.attributes);
      else {
        this.#part(body.take());
        this.#part(change.attributes);
      }
      writeContent(body, change.content);
    }
    if (commit === undefined) {
      body.u8(0);
      return;
    }
    body.u8(1);
    writeText(body, commit.position.order);
    writeText(body, commit.position.resume);
    body.varint(Math.max(0, Math.round(commit.atMs)));
  }

  /** The pieces so far; the builder is empty afterwards. */
  takePieces(): Uint8Array {
    const last = this.#body.take();
    if (this.#parts.length === 0) return last;
    const pieces = Buffer.concat([...this.#parts, last]);
    this.#parts.length = 0;
    this.#partBytes = 0;
    return pieces;
  }

  #part(bytes: Uint8Array): void {
    this.#parts.push(bytes);
    this.#partBytes += bytes.byteLength;
  }
}

/** The payload whose pieces these are. */
export function payloadOf(start: PayloadStart, pieces: readonly Uint8Array[]): Buffer<ArrayBuffer> {
  const head = new ByteBuilder(128);
  writeText(head, start.lineage);
  writeText(head, start.order);
  return Buffer.concat([head.take(), ...pieces]);
}

/** Where it starts, and its pieces, read while they are pulled: views, not copies. @throws REPOSITORY_DAMAGED, also while pulled */
export function readPayload(
  bytes: Uint8Array,
  what: string,
): { readonly start: PayloadStart; readonly pieces: Iterable<StoredPiece> } {
  const cursor = new ByteCursor(bytes, what);
  const lineage = readText(cursor);
  const order = readOrder(cursor);
  return { start: { lineage, order }, pieces: readPieces(cursor, lineage) };
}

function* readPieces(cursor: ByteCursor, lineage: string): Generator<StoredPiece> {
  while (cursor.remaining > 0) {
    const changes: StoredChange[] = [];
    for (let left = cursor.varint(); left > 0; left--) changes.push(readChange(cursor));
    const hasCommit = cursor.u8();
    if (hasCommit > 1) cursor.fail('a piece ends as none does');
    yield hasCommit === 0 ? { changes } : { changes, commit: readCommit(cursor, lineage) };
  }
}

function readChange(cursor: ByteCursor): StoredChange {
  const kind = cursor.u8();
  if (kind > PRESENT) cursor.fail('a change is of no known kind');
  const name = cursor.bytes(cursor.varint());
  if (kind === REMOVED) return { name, removed: true };
  const attributes = cursor.bytes(cursor.varint());
  return { name, attributes, content: readContent(cursor) };
}

function readCommit(cursor: ByteCursor, lineage: string): Commit {
  const order = readOrder(cursor);
  const resume = readText(cursor);
  return { position: { lineage, order, resume }, atMs: cursor.varint() };
}

function writeText(builder: ByteBuilder, text: string): void {
  const bytes = Buffer.from(text, 'utf8');
  builder.varint(bytes.byteLength).bytes(bytes);
}

function readOrder(cursor: ByteCursor): string {
  const order = readText(cursor);
  return isOrder(order) ? order : cursor.fail('the order of a position in it is no number');
}

function readText(cursor: ByteCursor): string {
  const sizeBytes = cursor.varint();
  if (sizeBytes > MAX_TEXT_BYTES) cursor.fail('a position in it is too long');
  const bytes = cursor.bytes(sizeBytes);
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8');
}
