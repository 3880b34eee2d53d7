import { compareBytes } from '../../core/bytes.ts';
import { ByteBuilder } from './byte-builder.ts';
import { ByteCursor } from './byte-cursor.ts';

const ID_BYTES = 32;
const LIST_MARK = 0x80;
/** Deeper than any tree that fits into 2^53 entries. */
const MAX_LEVEL = 32;
/** What the names in one node may take together. Shared beginnings make much of few bytes. */
const MAX_NAME_BYTES = 64 * 1024 * 1024;

export type ChunkPart = { readonly id: Uint8Array; readonly sizeBytes: number };

/** Where the bytes of an entry are: its chunks, or the root of a tree of lists of them. */
export type NodeContent =
  | { readonly kind: 'chunks'; readonly sizeBytes: number; readonly chunks: readonly ChunkPart[] }
  | { readonly kind: 'list'; readonly sizeBytes: number; readonly depth: number; readonly id: Uint8Array };

export type LeafItem = {
  readonly name: Uint8Array;
  readonly attributes: Uint8Array;
  readonly content?: NodeContent | undefined;
};

export type InnerItem = {
  readonly name: Uint8Array;
  readonly id: Uint8Array;
  readonly entryCount: number;
  readonly contentBytes: number;
};

/** A node of level 0 has leaves, any other has children. */
export type TreeNode = {
  readonly level: number;
  readonly leaves: readonly LeafItem[];
  readonly children: readonly InnerItem[];
};

function sharedBytes(left: Uint8Array, right: Uint8Array): number {
  const limit = Math.min(left.byteLength, right.byteLength);
  let at = 0;
  while (at < limit && left[at] === right[at]) at++;
  return at;
}

/** Writes the items of one node one after another; `take` ends it. */
export class NodeBuilder {
  readonly #level: number;
  readonly #body = new ByteBuilder(64 * 1024);
  #last: Uint8Array = new Uint8Array(0);
  #count = 0;
  #nameBytes = 0;

  constructor(level: number) {
    this.#level = level;
  }

  get count(): number {
    return this.#count;
  }

  get sizeBytes(): number {
    return this.#body.sizeBytes;
  }

  /** What its names take without what they share. */
  get nameBytes(): number {
    return this.#nameBytes;
  }

  leaf(item: LeafItem): void {
    this.#name(item.name);
    this.#body.varint(item.attributes.byteLength).bytes(item.attributes);
    writeContent(this.#body, item.content);
  }

  inner(item: InnerItem): void {
    this.#name(item.name);
    this.#body.bytes(item.id).varint(item.entryCount).varint(item.contentBytes);
  }

  take(): Uint8Array {
    const head = new ByteBuilder(16).u8(this.#level).varint(this.#count).take();
    const node = Buffer.concat([head, this.#body.take()]);
    this.#last = new Uint8Array(0);
    this.#count = 0;
    this.#nameBytes = 0;
    return node;
  }

  #name(name: Uint8Array): void {
    const shared = this.#count === 0 ? 0 : sharedBytes(this.#last, name);
    this.#body
      .varint(shared)
      .varint(name.byteLength - shared)
      .bytes(name.subarray(shared));
    this.#last = name;
    this.#count++;
    this.#nameBytes += name.byteLength;
  }
}

export function writeContent(builder: ByteBuilder, content: NodeContent | undefined): void {
  if (content === undefined) {
    builder.varint(0);
  } else if (content.kind === 'chunks') {
    builder.varint(1).varint(content.chunks.length);
    for (const chunk of content.chunks) builder.bytes(chunk.id).varint(chunk.sizeBytes);
  } else {
    builder.varint(2).varint(content.depth).varint(content.sizeBytes).bytes(content.id);
  }
}

/** @throws REPOSITORY_DAMAGED */
export function readContent(cursor: ByteCursor): NodeContent | undefined {
  const tag = cursor.varint();
  if (tag === 0) return undefined;
  if (tag === 1) {
    const chunks: ChunkPart[] = [];
    let sizeBytes = 0;
    for (let left = cursor.varint(); left > 0; left--) {
      const chunk = { id: cursor.bytes(ID_BYTES), sizeBytes: cursor.varint() };
      sizeBytes += chunk.sizeBytes;
      chunks.push(chunk);
    }
    return { kind: 'chunks', sizeBytes, chunks };
  }
  if (tag !== 2) cursor.fail('a content is of no known form');
  const depth = cursor.varint();
  if (depth > MAX_LEVEL) cursor.fail('a list is too deep');
  return { kind: 'list', depth, sizeBytes: cursor.varint(), id: cursor.bytes(ID_BYTES) };
}

/** Reads a node. Names must ascend strictly. Views into `bytes`, not copies. @throws REPOSITORY_DAMAGED */
export function readNode(bytes: Uint8Array, what: string): TreeNode {
  const cursor = new ByteCursor(bytes, what);
  const level = cursor.u8();
  if (level > MAX_LEVEL) cursor.fail('its level is too high');
  const leaves: LeafItem[] = [];
  const children: InnerItem[] = [];
  let last: Uint8Array | undefined;
  let nameBytes = 0;
  for (let left = cursor.varint(); left > 0; left--) {
    const shared = cursor.varint();
    const suffix = cursor.bytes(cursor.varint());
    if (shared > (last?.byteLength ?? 0)) cursor.fail('a name shares more than there is');
    nameBytes += shared + suffix.byteLength;
    if (nameBytes > MAX_NAME_BYTES) cursor.fail('its names are too long');
    const name = last === undefined || shared === 0 ? suffix : Buffer.concat([last.subarray(0, shared), suffix]);
    if (last !== undefined && compareBytes(last, name) >= 0) cursor.fail('its names do not ascend');
    last = name;
    if (level === 0) {
      const attributes = cursor.bytes(cursor.varint());
      leaves.push({ name, attributes, content: readContent(cursor) });
    } else {
      children.push({ name, id: cursor.bytes(ID_BYTES), entryCount: cursor.varint(), contentBytes: cursor.varint() });
    }
  }
  cursor.expectEnd();
  if (level > 0 && children.length === 0) cursor.fail('it is empty');
  return { level, leaves, children };
}

/** A node of a content's list. With depth 0 the parts are content chunks. */
export function writeList(depth: number, parts: readonly ChunkPart[]): Uint8Array {
  const builder = new ByteBuilder(16 + parts.length * (ID_BYTES + 4)).u8(LIST_MARK).varint(depth).varint(parts.length);
  for (const part of parts) builder.bytes(part.id).varint(part.sizeBytes);
  return builder.take();
}

/** @throws REPOSITORY_DAMAGED when it is not a list of that depth */
export function readList(bytes: Uint8Array, depth: number, what: string): readonly ChunkPart[] {
  const cursor = new ByteCursor(bytes, what);
  if (cursor.u8() !== LIST_MARK) cursor.fail('a list is expected');
  if (cursor.varint() !== depth) cursor.fail('its depth is not the one expected');
  const parts: ChunkPart[] = [];
  for (let left = cursor.varint(); left > 0; left--) {
    parts.push({ id: cursor.bytes(ID_BYTES), sizeBytes: cursor.varint() });
  }
  cursor.expectEnd();
  return parts;
}

/** FNV-1a with 32 bits: only says where a leaf may end. */
export function nameHash(name: Uint8Array): number {
  let hash = 0x811c9dc5;
  for (let at = 0; at < name.byteLength; at++) hash = Math.imul(hash ^ (name[at] ?? 0), 0x01000193);
  return hash >>> 0;
}
