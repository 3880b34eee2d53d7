import { CHUNK_ID_BYTES, INDEX_RECORD_BYTES, recordField } from '../format/index-object.ts';
import { assume } from '../../core/must.ts';
import { compareIds } from './chunk-key.ts';
import type { ChunkKey } from './chunk-key.ts';
import type { ChunkPlace } from './chunk-index.ts';
import type { PackTable } from './pack-table.ts';
import { comparePlaces, copyRecord, writePlace } from './record.ts';

const FIRST_CAPACITY = 1024;
const MAX_RECORDS = 2 ** 20;

/**
 * Records in memory: one array of their bytes and an open-addressing table of numbers, no objects. `pack` is the
 * number in the pack table. The same id may have several places.
 */
export class Memtable {
  #records = new Uint8Array(FIRST_CAPACITY * INDEX_RECORD_BYTES);
  #view = new DataView(this.#records.buffer);
  #slots = new Uint32Array(FIRST_CAPACITY * 2);
  #count = 0;

  get count(): number {
    return this.#count;
  }

  get view(): DataView {
    return this.#view;
  }

  get isFull(): boolean {
    return this.#count === MAX_RECORDS;
  }

  /** A record that is there already is not added again. @throws BugError when `isFull` */
  add(id: Uint8Array, place: ChunkPlace): void {
    assume(id.byteLength === CHUNK_ID_BYTES && !this.isFull, 'a chunk id of 32 bytes, and room for it');
    if (this.#count === this.#slots.length / 2) this.#grow();
    const offset = this.#count * INDEX_RECORD_BYTES;
    this.#records.set(id, offset);
    writePlace(this.#view, offset, place);
    this.#keep();
  }

  /** As `add`, for a record as it is in an index object, with another pack number. */
  addRecord(records: Uint8Array, offset: number, pack: number): void {
    assume(!this.isFull, 'room for a record');
    if (this.#count === this.#slots.length / 2) this.#grow();
    const own = this.#count * INDEX_RECORD_BYTES;
    this.#records.set(records.subarray(offset, offset + INDEX_RECORD_BYTES), own);
    this.#view.setUint32(own + recordField.pack, pack, true);
    this.#keep();
  }

  /** Where in `view` the first record of this id with a usable pack is, after `skip` others; or -1. */
  find(key: ChunkKey, packs: PackTable, skip: number): number {
    const mask = this.#slots.length - 1;
    let left = skip;
    for (let slot = key.head & mask; ; slot = (slot + 1) & mask) {
      const place = this.#slots[slot] ?? 0;
      if (place === 0) return -1;
      const offset = (place - 1) * INDEX_RECORD_BYTES;
      if (!key.equals(this.#view, offset) || !packs.usable(this.#view.getUint32(offset + recordField.pack, true))) {
        continue;
      }
      if (left === 0) return offset;
      left -= 1;
    }
  }

  /** Calls with the pack number of each record. */
  packNumbers(visit: (number: number) => void): void {
    for (let at = 0; at < this.#count; at += 1) {
      visit(this.#view.getUint32(at * INDEX_RECORD_BYTES + recordField.pack, true));
    }
  }

  /** Where in `view` the records are, ascending by id. */
  *offsetsInOrder(): Generator<number> {
    for (const at of this.#order()) yield at * INDEX_RECORD_BYTES;
  }

  /** A copy of the records as one array of bytes, ascending by id. */
  sorted(): Uint8Array {
    const sorted = new Uint8Array(this.#count * INDEX_RECORD_BYTES);
    const view = new DataView(sorted.buffer);
    let to = 0;
    for (const offset of this.offsetsInOrder()) {
      copyRecord(this.#view, offset, view, to);
      to += INDEX_RECORD_BYTES;
    }
    return sorted;
  }

  /** Forgets the records and keeps the memory. */
  clear(): void {
    this.#count = 0;
    this.#slots.fill(0);
  }

  /** Takes the record that was written behind the last one, unless it is there already. */
  #keep(): void {
    const mask = this.#slots.length - 1;
    const own = this.#count * INDEX_RECORD_BYTES;
    let slot = this.#view.getUint32(own) & mask;
    for (; this.#slots[slot] !== 0; slot = (slot + 1) & mask) {
      const other = ((this.#slots[slot] ?? 0) - 1) * INDEX_RECORD_BYTES;
      if (compareRecords(this.#view, other, own) === 0) return;
    }
    this.#count += 1;
    this.#slots[slot] = this.#count;
  }

  #grow(): void {
    const larger = new Uint8Array(this.#records.byteLength * 2);
    larger.set(this.#records);
    this.#records = larger;
    this.#view = new DataView(larger.buffer);
    this.#slots = new Uint32Array(this.#slots.length * 2);
    const mask = this.#slots.length - 1;
    for (let at = 0; at < this.#count; at += 1) {
      let slot = this.#view.getUint32(at * INDEX_RECORD_BYTES) & mask;
      while (this.#slots[slot] !== 0) slot = (slot + 1) & mask;
      this.#slots[slot] = at + 1;
    }
  }

  /** Sorts numbers instead of records: head and place of a record fit together into a double. */
  #order(): Float64Array {
    const keys = new Float64Array(this.#count);
    for (let at = 0; at < this.#count; at += 1) {
      keys[at] = this.#view.getUint32(at * INDEX_RECORD_BYTES) * MAX_RECORDS + at;
    }
    keys.sort();
    for (let at = 0; at < keys.length; at += 1) keys[at] = (keys[at] ?? 0) % MAX_RECORDS;
    // Only records with the same head can still be out of order, and they are few and together.
    for (let at = 1; at < keys.length; at += 1) {
      const moving = keys[at] ?? 0;
      let to = at;
      for (; to > 0 && this.#compare(keys[to - 1] ?? 0, moving) > 0; to -= 1) keys[to] = keys[to - 1] ?? 0;
      keys[to] = moving;
    }
    return keys;
  }

  #compare(left: number, right: number): number {
    return compareRecords(this.#view, left * INDEX_RECORD_BYTES, right * INDEX_RECORD_BYTES);
  }
}

function compareRecords(view: DataView, left: number, right: number): number {
  return compareIds(view, left, view, right) || comparePlaces(view, left, view, right);
}
