import { markState } from '../repository/mark.ts';
import type { Mark } from '../repository/mark.ts';
import type { MarkResult, ShownName } from './results.ts';

const decoder = new TextDecoder('utf-8', { fatal: true });

/** A stored name as people and scripts see it: components joined by `/`, bytes that are no text as `\xHH`. */
export function shownName(name: Uint8Array): ShownName {
  const path = Buffer.from(name);
  for (let at = 0; at < path.byteLength; at++) if (path[at] === 0) path[at] = 0x2f;
  try {
    return { name: decoder.decode(path) };
  } catch {
    return { name: escapeBytes(path), nameBase64: path.toString('base64') };
  }
}

function escapeBytes(bytes: Uint8Array): string {
  let text = '';
  for (const byte of bytes) {
    text += byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : `\\x${byte.toString(16).padStart(2, '0')}`;
  }
  return text;
}

export function isoTime(atMs: number): string {
  return new Date(atMs).toISOString();
}

export function markResult(mark: Mark, pinned: boolean): MarkResult {
  const { id, name, tags, skewMs, missing } = mark;
  return {
    id,
    ...(name === undefined ? {} : { name }),
    tags,
    class: mark.class,
    at: isoTime(mark.atMs),
    skewMs,
    state: markState(mark),
    partial: missing,
    pinned,
  };
}
