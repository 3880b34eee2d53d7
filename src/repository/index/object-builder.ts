import { must } from '../../core/must.ts';
import { INDEX_RECORD_BYTES, MAX_INDEX_RECORDS, PACK_ID_BYTES, recordField } from '../format/index-object.ts';
import type { IndexObject } from '../format/index-object.ts';
import type { Memtable } from './memtable.ts';
import type { PackTable } from './pack-table.ts';
import { copyRecord } from './record.ts';

/** Which object the packs of a run go into. */
export type Grouping = {
  /** How many records each object gets. */
  readonly groups: readonly number[];
  /** The object's number by pack, or -1 for a pack that goes into none. */
  readonly groupOf: Int32Array;
};

/**
 * Divides packs among objects, each pack whole. A pack with more chunks than an object holds goes into none: its
 * directory is read instead. `counts`: records by pack number.
 */
export function groupPacks(counts: Uint32Array): Grouping {
  const groups: number[] = [];
  const groupOf = new Int32Array(counts.length).fill(-1);
  let room = 0;
  for (const [pack, count] of counts.entries()) {
    if (count === 0 || count > MAX_INDEX_RECORDS) continue;
    if (count > room) {
      groups.push(0);
      room = MAX_INDEX_RECORDS;
    }
    const group = groups.length - 1;
    groupOf[pack] = group;
    groups[group] = must(groups[group], 'a group') + count;
    room -= count;
  }
  return { groups, groupOf };
}

/** Takes records in order, whose packs are numbers of the pack table, and makes an index object of them. */
export class ObjectBuilder {
  readonly #packs: PackTable;
  readonly #records: Uint8Array;
  readonly #view: DataView;
  readonly #localPacks = new Map<number, number>();
  #count = 0;

  constructor(recordCount: number, packs: PackTable) {
    this.#packs = packs;
    this.#records = new Uint8Array(recordCount * INDEX_RECORD_BYTES);
    this.#view = new DataView(this.#records.buffer);
  }

  /** Appends the record at `offset`. */
  append(view: DataView, offset: number): void {
    const at = this.#count * INDEX_RECORD_BYTES;
    copyRecord(view, offset, this.#view, at);
    const pack = view.getUint32(offset + recordField.pack, true);
    let local = this.#localPacks.get(pack);
    if (local === undefined) {
      local = this.#localPacks.size;
      this.#localPacks.set(pack, local);
    }
    this.#view.setUint32(at + recordField.pack, local, true);
    this.#count += 1;
  }

  /** Forgets what it took, for the next object. */
  clear(): void {
    this.#count = 0;
    this.#localPacks.clear();
  }

  /** The object's content; `records` is overwritten after `clear`. */
  take(): Omit<IndexObject, 'replaces'> {
    const packs = new Uint8Array(this.#localPacks.size * PACK_ID_BYTES);
    for (const [number, local] of this.#localPacks) this.#packs.copyId(number, packs, local * PACK_ID_BYTES);
    return { packs, records: this.#records.subarray(0, this.#count * INDEX_RECORD_BYTES) };
  }
}

/** Takes the records of an index object whose packs exist. */
export function takeExistingRecords({ packs, records }: IndexObject, table: PackTable, into: Memtable): void {
  const view = new DataView(records.buffer, records.byteOffset, records.byteLength);
  const numbers = new Int32Array(packs.byteLength / PACK_ID_BYTES);
  for (let at = 0; at < numbers.length; at += 1) {
    const number = table.numberOf(packs.subarray(at * PACK_ID_BYTES, (at + 1) * PACK_ID_BYTES));
    numbers[at] = number >= 0 && table.exists(number) ? number : -1;
  }
  for (let offset = 0; offset < records.byteLength; offset += INDEX_RECORD_BYTES) {
    const number = numbers[view.getUint32(offset + recordField.pack, true)] ?? -1;
    if (number >= 0) into.addRecord(records, offset, number);
  }
}
