import { INDEX_RECORD_BYTES, recordField } from '../format/index-object.ts';
import type { ChunkPlace } from './chunk-index.ts';

/** Puts a place into the record at `offset`. */
export function writePlace(view: DataView, offset: number, place: ChunkPlace): void {
  view.setUint32(offset + recordField.pack, place.pack, true);
  view.setUint32(offset + recordField.blockOffset, place.blockOffset, true);
  view.setUint32(offset + recordField.blockBytes, place.blockBytes, true);
  view.setUint32(offset + recordField.offset, place.offset, true);
  view.setUint32(offset + recordField.sizeBytes, place.sizeBytes, true);
}

/** The place in the record at `offset`, in the pack of that number. */
export function readPlace(view: DataView, offset: number, pack: number): ChunkPlace {
  return {
    pack,
    blockOffset: view.getUint32(offset + recordField.blockOffset, true),
    blockBytes: view.getUint32(offset + recordField.blockBytes, true),
    offset: view.getUint32(offset + recordField.offset, true),
    sizeBytes: view.getUint32(offset + recordField.sizeBytes, true),
  };
}

/** An order of places for which only equal places are equal. */
export function comparePlaces(left: DataView, leftOffset: number, right: DataView, rightOffset: number): number {
  for (let at: number = recordField.pack; at <= recordField.sizeBytes; at += 4) {
    const difference = left.getUint32(leftOffset + at, true) - right.getUint32(rightOffset + at, true);
    if (difference !== 0) return difference;
  }
  return 0;
}

/** Copies the record at `offset` to another place. */
export function copyRecord(from: DataView, offset: number, into: DataView, intoOffset: number): void {
  for (let at = 0; at < INDEX_RECORD_BYTES; at += 4) into.setInt32(intoOffset + at, from.getInt32(offset + at));
}
