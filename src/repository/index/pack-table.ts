import { PACK_ID_BYTES } from '../format/index-object.ts';
import { assume, must } from '../../core/must.ts';

const MISSING = 1;
const CONDEMNED = 2;
const COVERED = 4;
const UNUSABLE = MISSING | CONDEMNED;

/** While one is open, packs that are added count as existing. */
export interface PackRestriction {
  /** This pack exists. Returns its number. */
  keep(packId: Uint8Array): number;
  /** From now on no pack counts that was not kept or added since the restriction began. */
  apply(): void;
}

/**
 * Packs as small numbers, in the order in which they became known, and what is known of each. Numbers are never given
 * twice and mean something in this process only.
 */
export class PackTable {
  #ids = new Uint8Array(64 * PACK_ID_BYTES);
  #view = new DataView(this.#ids.buffer);
  #states = new Uint8Array(64);
  #slots = new Uint32Array(128);
  #count = 0;
  /** Packs that exist, by number, while a restriction is being built. */
  #kept: Uint8Array<ArrayBuffer> | undefined;
  #restricted = false;

  get count(): number {
    return this.#count;
  }

  /** The number of a pack, or -1. */
  numberOf(packId: Uint8Array): number {
    return this.#at(this.#slot(packId));
  }

  /** A copy of the id. @throws BugError for a number that was never given. */
  idOf(number: number): Uint8Array {
    assume(number >= 0 && number < this.#count, 'the number of a pack');
    return this.#ids.slice(number * PACK_ID_BYTES, (number + 1) * PACK_ID_BYTES);
  }

  /** Copies the id of `number` to `into` at `offset`. */
  copyId(number: number, into: Uint8Array, offset: number): void {
    into.set(this.#ids.subarray(number * PACK_ID_BYTES, (number + 1) * PACK_ID_BYTES), offset);
  }

  /** A pack that some record names. Where the packs are restricted, a new one does not exist. */
  mention(packId: Uint8Array): number {
    const slot = this.#slot(packId);
    const known = this.#at(slot);
    return known >= 0 ? known : this.#append(packId, slot, this.#restricted ? MISSING : 0);
  }

  /** A pack that was just stored: it exists. */
  add(packId: Uint8Array): number {
    const number = this.mention(packId);
    this.#clear(number, MISSING);
    this.#keep(number);
    return number;
  }

  /** False for a pack that is absent or condemned. */
  usable(number: number): boolean {
    return (this.#state(number) & UNUSABLE) === 0;
  }

  exists(number: number): boolean {
    return (this.#state(number) & MISSING) === 0;
  }

  /** Whether the chunks of the pack are in the index. */
  covered(number: number): boolean {
    return (this.#state(number) & COVERED) !== 0;
  }

  setCovered(number: number): void {
    this.#states[number] = this.#state(number) | COVERED;
  }

  clearCovered(): void {
    for (let number = 0; number < this.#count; number += 1) this.#clear(number, COVERED);
  }

  /** The pack counts as absent from now on, also when a later restriction keeps it. */
  condemn(number: number): void {
    assume(number >= 0 && number < this.#count, 'the number of a pack');
    this.#states[number] = this.#state(number) | CONDEMNED;
  }

  startRestriction(): PackRestriction {
    const kept = new Uint8Array(this.#states.length);
    this.#kept = kept;
    return {
      keep: (packId) => {
        const number = this.mention(packId);
        this.#keep(number);
        return number;
      },
      apply: () => {
        const exists = must(this.#kept, 'a restriction that was not applied yet');
        for (let number = 0; number < this.#count; number += 1) {
          if (exists[number] === 1) this.#clear(number, MISSING);
          else this.#states[number] = this.#state(number) | MISSING;
        }
        this.#kept = undefined;
        this.#restricted = true;
      },
    };
  }

  #keep(number: number): void {
    if (this.#kept === undefined) return;
    if (number >= this.#kept.length) this.#kept = grown(this.#kept, this.#states.length);
    this.#kept[number] = 1;
  }

  #state(number: number): number {
    return this.#states[number] ?? UNUSABLE;
  }

  #clear(number: number, bits: number): void {
    this.#states[number] = this.#state(number) & ~bits;
  }

  #append(packId: Uint8Array, slot: number, state: number): number {
    assume(packId.byteLength === PACK_ID_BYTES, 'a pack id of 32 bytes');
    const number = this.#count;
    if (number === this.#states.length) this.#grow();
    this.#ids.set(packId, number * PACK_ID_BYTES);
    this.#states[number] = state;
    this.#count += 1;
    if (this.#count * 4 > this.#slots.length * 3) this.#rehash();
    else this.#slots[slot] = number + 1;
    return number;
  }

  #grow(): void {
    const capacity = Math.ceil(this.#states.length * 1.5);
    this.#ids = grown(this.#ids, capacity * PACK_ID_BYTES);
    this.#view = new DataView(this.#ids.buffer);
    this.#states = grown(this.#states, capacity);
  }

  #rehash(): void {
    this.#slots = new Uint32Array(this.#slots.length * 2);
    const mask = this.#slots.length - 1;
    for (let number = 0; number < this.#count; number += 1) {
      let slot = this.#view.getUint32(number * PACK_ID_BYTES, true) & mask;
      while (this.#slots[slot] !== 0) slot = (slot + 1) & mask;
      this.#slots[slot] = number + 1;
    }
  }

  /**
   * Where the pack is in the table of slots, or the free one where it belongs. Ids are digests: their first bytes are
   * the hash.
   */
  #slot(packId: Uint8Array): number {
    const mask = this.#slots.length - 1;
    const hash = (packId[0] ?? 0) | ((packId[1] ?? 0) << 8) | ((packId[2] ?? 0) << 16) | ((packId[3] ?? 0) << 24);
    for (let slot = hash & mask; ; slot = (slot + 1) & mask) {
      const number = this.#at(slot);
      if (number < 0 || this.#equals(number, packId)) return slot;
    }
  }

  #at(slot: number): number {
    return (this.#slots[slot] ?? 0) - 1;
  }

  #equals(number: number, packId: Uint8Array): boolean {
    const start = number * PACK_ID_BYTES;
    for (let at = 0; at < PACK_ID_BYTES; at += 1) {
      if (this.#ids[start + at] !== packId[at]) return false;
    }
    return true;
  }
}

function grown(array: Uint8Array<ArrayBuffer>, length: number): Uint8Array<ArrayBuffer> {
  const larger = new Uint8Array(length);
  larger.set(array);
  return larger;
}
