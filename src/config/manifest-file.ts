import { open } from 'node:fs/promises';
import { dirname } from 'node:path';
import { systemCode, TidemarkError } from '../core/errors.ts';
import { excerpt } from '../core/printable.ts';
import type { Run } from '../core/run.ts';
import { ManifestError } from './mistakes.ts';
import type { Mistake } from './mistakes.ts';

/** A manifest is written by people: far below this. */
export const MOST_MANIFEST_BYTES = 256 * 1024;

/** `file` is the name as the operator gave it, for messages; relative paths of the manifest start at `folder`, an absolute path. */
export type ManifestOrigin = { readonly file: string; readonly folder: string };

/** Reads the manifest at `path`, which is absolute; `file` is its name for messages. @throws CONFIG_NOT_FOUND, CONFIG_INVALID */
export async function readManifestFile(
  path: string,
  file: string,
  run: Run,
): Promise<{ readonly text: string; readonly origin: ManifestOrigin }> {
  const bytes = await readBounded(path, file, run);
  return { text: manifestText(bytes, file), origin: { file, folder: dirname(path) } };
}

/** The text of a manifest, without a byte order mark. @throws CONFIG_INVALID when it is too large or not UTF-8 */
export function manifestText(bytes: Uint8Array, file: string): string {
  if (bytes.byteLength > MOST_MANIFEST_BYTES) {
    throw new ManifestError([{ file, message: `larger than ${MOST_MANIFEST_BYTES / 1024} KiB, so not a manifest` }]);
  }
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw new ManifestError([notUtf8(bytes, file)]);
  }
}

async function readBounded(path: string, file: string, run: Run): Promise<Uint8Array> {
  try {
    await using handle = await open(path, 'r');
    const bytes = new Uint8Array(MOST_MANIFEST_BYTES + 1);
    let filled = 0;
    while (filled < bytes.byteLength) {
      run.signal.throwIfAborted();
      const { bytesRead } = await handle.read(bytes, filled, bytes.byteLength - filled, null);
      if (bytesRead === 0) break;
      filled += bytesRead;
    }
    return bytes.subarray(0, filled);
  } catch (error) {
    throw readError(error, file);
  }
}

function readError(error: unknown, file: string): unknown {
  const code = systemCode(error);
  if (code === undefined) return error;
  const shown = excerpt(file, 200);
  if (code === 'ENOENT' || code === 'ENOTDIR') {
    return new TidemarkError('CONFIG_NOT_FOUND', `${shown}: there is no such manifest`, { cause: error });
  }
  const reasons: Readonly<Record<string, string>> = {
    EISDIR: 'this is a folder, not a manifest',
    EACCES: 'this user may not read it',
    EPERM: 'this user may not read it',
  };
  return new TidemarkError('CONFIG_NOT_FOUND', `${shown}: ${reasons[code] ?? `can't be read (${code})`}`, {
    cause: error,
  });
}

function notUtf8(bytes: Uint8Array, file: string): Mistake {
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
  let line = 1;
  for (let start = 0; start < bytes.byteLength; line += 1) {
    const end = bytes.indexOf(0x0a, start);
    const piece = bytes.subarray(start, end < 0 ? bytes.byteLength : end + 1);
    try {
      decoder.decode(piece);
    } catch {
      break;
    }
    start += piece.byteLength;
  }
  return { file, place: { line, column: 1 }, message: 'not UTF-8 text; save the file as UTF-8' };
}
