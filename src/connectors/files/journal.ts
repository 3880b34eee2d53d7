import { TidemarkError, systemCode } from '../../core/errors.ts';
import { assume } from '../../core/must.ts';
import type { RandomBytes, Run } from '../../core/run.ts';
import { readSmallFile, removePartials, replaceFile } from '../../io/atomic-file.ts';

/**
 * What is durable of the exchange of two folders. `verified`: the new tree is whole, nothing was exchanged. `exchanging`: begun, only
 * going on is possible. `exchanged`: done. Inodes tell the trees apart after a crash at any moment.
 */
export type Journal = {
  readonly version: 1;
  readonly state: 'verified' | 'exchanging' | 'exchanged';
  /** `undo`: the name that the exchanged tree stays under is the aside one from the start. */
  readonly purpose: 'restore' | 'undo';
  /** How many undos there were, this one included. Absent: none. */
  readonly turn?: number | undefined;
  /** Inode of the folder that comes in, null when nothing comes in. */
  readonly coming: string | null;
  /** Inode of the folder that goes out, null when there is none. */
  readonly going: string | null;
  /** Only where children are exchanged: inodes of those that come in, and the attributes of both folders in base64. */
  readonly children?:
    | { readonly inodes: readonly string[]; readonly comingAttributes: string; readonly goingAttributes: string }
    | undefined;
};

const MAX_BYTES = 1 << 28;

/** `home`: the open folder that it lies in. Undefined when there is none. @throws RESTORE_FAILED when it can't be understood. */
export async function readJournal(home: number, name: string): Promise<Journal | undefined> {
  let bytes: Uint8Array;
  try {
    bytes = await readSmallFile(pathOf(home, name), MAX_BYTES);
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return undefined;
    throw error;
  }
  try {
    const parsed: unknown = JSON.parse(Buffer.from(bytes).toString());
    assume(isJournal(parsed), 'a journal of version 1');
    return parsed;
  } catch (error) {
    throw new TidemarkError('RESTORE_FAILED', `the journal ${name} of an earlier restore is damaged`, { cause: error });
  }
}

/** Where a journal lies: an open folder, and its name in it. */
export type JournalPlace = { readonly home: number; readonly name: string; readonly random: RandomBytes };

/** Durable when it resolves; a crash leaves the old one or the new one. */
export async function writeJournal({ home, name, random }: JournalPlace, journal: Journal, run: Run): Promise<void> {
  await replaceFile(pathOf(home, name), [Buffer.from(JSON.stringify(journal))], { mode: 0o600, random }, run);
}

/** Deletes what a process left that died in `writeJournal`. */
export async function removeJournalPartials(home: number, name: string): Promise<void> {
  await removePartials(pathOf(home, name));
}

function pathOf(home: number, name: string): string {
  return `/proc/self/fd/${home}/${name}`;
}

function isJournal(value: unknown): value is Journal {
  if (typeof value !== 'object' || value === null) return false;
  return 'version' in value && value.version === 1 && 'state' in value && 'coming' in value && 'going' in value;
}
