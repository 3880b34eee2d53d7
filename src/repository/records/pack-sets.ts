import { compareBytes } from '../../core/bytes.ts';
import { must } from '../../core/must.ts';
import { ByteBuilder } from '../format/byte-builder.ts';
import { ByteCursor } from '../format/byte-cursor.ts';

const ID_BYTES = 32;

/**
 * Sets of packs that have most in common. Each id lies here once, in the order in which they came; a set is runs of their numbers, and means nothing
 * elsewhere.
 */
export class PackSets {
  readonly #ids: Uint8Array[] = [];
  /** Made when the first set comes. */
  #numbers: Map<string, number> | undefined;

  /** With what `ids` was. */
  static of(ids: Uint8Array): PackSets {
    const sets = new PackSets();
    for (let at = 0; at < ids.byteLength; at += ID_BYTES) sets.#ids.push(ids.subarray(at, at + ID_BYTES));
    return sets;
  }

  get ids(): Uint8Array {
    return Buffer.concat(this.#ids);
  }

  /** Takes ids that lie one after another. Undefined where they are not ids that ascend: only such come back as they were. */
  put(ids: Uint8Array): Uint8Array | undefined {
    const split = PackSets.of(ids).#ids;
    if (ids.byteLength % ID_BYTES !== 0 || !isAscending(split)) return undefined;
    this.#numbers ??= new Map(this.#ids.map((id, number) => [textOf(id), number]));
    const numbers = this.#numbers;
    return writeRuns(
      split.map((id) => {
        const text = textOf(id);
        const number = numbers.get(text) ?? this.#ids.push(id.slice()) - 1;
        numbers.set(text, number);
        return number;
      }),
    );
  }

  /** The ids of a set, ascending, one after another. */
  get(set: Uint8Array): Uint8Array {
    const ids = Array.from(numbersIn(set), (number) => must(this.#ids[number], 'an id of that number'));
    return Buffer.concat(ids.toSorted(compareBytes));
  }

  /** These sets with the ids that they have, numbered in their order. */
  only(wanted: readonly Uint8Array[]): { readonly sets: PackSets; readonly moved: readonly Uint8Array[] } {
    const sets = new PackSets();
    const numbers = new Int32Array(this.#ids.length).fill(-1);
    const moved = wanted.map((set) =>
      writeRuns(
        Array.from(numbersIn(set), (number) => {
          if (numbers[number] === -1) {
            numbers[number] = sets.#ids.push(must(this.#ids[number], 'an id of that number')) - 1;
          }
          return numbers[number] ?? 0;
        }),
      ),
    );
    return { sets, moved };
  }
}

function textOf(id: Uint8Array): string {
  return Buffer.from(id.buffer, id.byteOffset, ID_BYTES).toString('latin1');
}

function isAscending(ids: readonly Uint8Array[]): boolean {
  return ids.every((id, index) => {
    const before = ids[index - 1];
    return before === undefined || compareBytes(before, id) < 0;
  });
}

/** Of each run, how far it begins after the end of the one before, and how many numbers it has. */
function writeRuns(numbers: readonly number[]): Uint8Array {
  const ascending = Uint32Array.from(numbers).sort();
  const builder = new ByteBuilder(64);
  let end = 0;
  for (let at = 0; at < ascending.length; ) {
    const first = ascending[at] ?? 0;
    let length = 1;
    while (ascending[at + length] === first + length) length += 1;
    builder.varint(first - end).varint(length);
    end = first + length;
    at += length;
  }
  return builder.take();
}

function* numbersIn(set: Uint8Array): Generator<number> {
  const cursor = new ByteCursor(set, 'a set of packs');
  let number = 0;
  while (cursor.remaining > 0) {
    number += cursor.varint();
    for (let left = cursor.varint(); left > 0; left -= 1) yield number++;
  }
}
