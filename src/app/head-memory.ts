import { join } from 'node:path';
import { systemCode } from '../core/errors.ts';
import type { RandomBytes, Run } from '../core/run.ts';
import { readSmallFile, replaceFile } from '../io/atomic-file.ts';
import { encodeJson, JsonFields } from '../repository/format/json.ts';
import type { Head } from '../repository/records/heads.ts';

const FILE = 'heads.json';
const MAX_BYTES = 16 * 1024 * 1024;

/** Heads of the repository that this host saw last. None yet: an empty list. @throws REPOSITORY_DAMAGED when the file was tampered with */
export async function loadRememberedHeads(folder: string, run: Run): Promise<readonly Head[]> {
  run.signal.throwIfAborted();
  const path = join(folder, FILE);
  try {
    const fields = JsonFields.parse(await readSmallFile(path, MAX_BYTES), path);
    return fields.objects('heads').map((head) => ({
      session: head.hex('session', 16),
      counter: head.count('counter', 0xffffffff),
      digest: head.hex('digest', 32),
    }));
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return [];
    throw error;
  }
}

/** Replaces what this host remembers. Call it only with heads of a catalogue that had nothing missing. */
export async function rememberHeads(
  options: { readonly folder: string; readonly heads: readonly Head[]; readonly random: RandomBytes },
  run: Run,
): Promise<void> {
  const heads = options.heads.map(({ session, counter, digest }) => ({ session, counter, digest }));
  await replaceFile(join(options.folder, FILE), [encodeJson({ heads })], { mode: 0o600, random: options.random }, run);
}
