import { directorySize, PACK_HEADER_BYTES, PACK_TRAILER_BYTES } from '../../src/repository/format/pack.ts';
import type { ByteRange } from './dependencies.ts';
import type { World } from './world.ts';

/** How an object differs from what it was. `spans`: the bytes that differ, where its size did not change. */
export type Change = {
  readonly key: string;
  readonly how: 'changed' | 'resized' | 'gone' | 'new';
  readonly spans: readonly ByteRange[];
};

/** Compares all objects with the whole repository, byte by byte, whatever a damage said that it did. */
export function findChanges({ fixture, whole }: World): readonly Change[] {
  const before = new Map(whole.held.map(({ info, bytes }) => [info.key, bytes]));
  const changes: Change[] = [];
  for (const [key, bytes] of before) {
    const now = fixture.memory.get(key);
    if (now === undefined) changes.push({ key, how: 'gone', spans: [] });
    else if (now.byteLength !== bytes.byteLength) changes.push({ key, how: 'resized', spans: [] });
    else if (now !== bytes && Buffer.compare(now, bytes) !== 0) {
      changes.push({ key, how: 'changed', spans: spansOf(key, bytes, now) });
    }
  }
  for (const key of fixture.memory.keys()) if (!before.has(key)) changes.push({ key, how: 'new', spans: [] });
  return changes;
}

function spansOf(key: string, before: Uint8Array, now: Uint8Array): readonly ByteRange[] {
  const spans: ByteRange[] = [];
  for (let at = 0; at < before.byteLength; at++) {
    if (before[at] === now[at]) continue;
    const from = at;
    while (at < before.byteLength && before[at] !== now[at]) at++;
    spans.push({ key, from, to: at });
  }
  return spans;
}

/** Whether a pack is changed where everyone who opens it looks: outside of its blocks, in its size, or altogether. */
export function isStructural({ whole }: World, { key, how, spans }: Change): boolean {
  if (how !== 'changed') return true;
  const bytes = whole.held.find(({ info }) => info.key === key)?.bytes ?? new Uint8Array(0);
  const trailer = bytes.subarray(bytes.byteLength - PACK_TRAILER_BYTES);
  const directoryAt = bytes.byteLength - PACK_TRAILER_BYTES - directorySize(trailer, bytes.byteLength, key);
  return spans.some(({ from, to }) => from < PACK_HEADER_BYTES || to > directoryAt);
}
