import { SortedSpill } from '../io/sorted-spill.ts';
import { ByteBuilder } from './format/byte-builder.ts';
import { ByteCursor } from './format/byte-cursor.ts';
import { readContent, writeContent } from './format/node.ts';
import type { LeafItem } from './format/node.ts';

/** Sorts the entries of a base that come in no order, with bounded memory. */
export class LeafSort implements Disposable {
  readonly #spill: SortedSpill;

  constructor(temporaryFolder: string) {
    this.#spill = new SortedSpill({ temporaryFolder });
  }

  put({ name, attributes, content }: LeafItem): void {
    const value = new ByteBuilder(128).varint(attributes.byteLength).bytes(attributes);
    writeContent(value, content);
    this.#spill.put(name.slice(), value.take());
  }

  /** Nothing is put any more. */
  *ascending(): Generator<LeafItem> {
    for (const { key: name, value } of this.#spill.ascending()) {
      const cursor = new ByteCursor(value, 'a sorted entry');
      const attributes = cursor.bytes(cursor.varint());
      yield { name, attributes, content: readContent(cursor) };
    }
  }

  [Symbol.dispose](): void {
    this.#spill[Symbol.dispose]();
  }
}
