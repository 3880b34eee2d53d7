import { chmodSync, chownSync, closeSync, lstatSync, mkdirSync, openSync, utimesSync } from 'node:fs';
import { dirname } from 'node:path';
import { fromSystem, TidemarkError } from '../../core/errors.ts';
import { printable } from '../../core/printable.ts';
import type { BaseReader, FileResult, FileTarget, StoredEntry } from '../../core/restorer.ts';
import type { Run } from '../../core/run.ts';
import { decodeAttributes } from './attributes.ts';
import type { Owner } from './owner.ts';
import { makeTablespaces } from './tablespaces.ts';
import type { TablespaceHome } from './tablespaces.ts';

/** Folders that the server expects and that a base may not have, because it keeps nothing of what is in them. */
export const FOLDERS: readonly string[] = [
  'base',
  'global',
  'pg_commit_ts',
  'pg_dynshmem',
  'pg_logical',
  'pg_logical/mappings',
  'pg_logical/snapshots',
  'pg_multixact',
  'pg_multixact/members',
  'pg_multixact/offsets',
  'pg_notify',
  'pg_replslot',
  'pg_serial',
  'pg_snapshots',
  'pg_stat',
  'pg_stat_tmp',
  'pg_subtrans',
  'pg_tblspc',
  'pg_twophase',
  'pg_wal',
  'pg_wal/archive_status',
  'pg_xact',
];

/** What belongs to the server that was copied, or to the copying, and would mislead a restored one. */
const LEFT_OUT: ReadonlySet<string> = new Set([
  'backup_manifest',
  'postmaster.opts',
  'postmaster.pid',
  'recovery.done',
  'recovery.signal',
  'standby.signal',
  'tablespace_map',
]);

/** Slots are of the other server; what we tell of it ourselves is no file of it. */
const LEFT_OUT_FOLDERS = ['pg_replslot/', 'tidemark/'];

export type DataDirectoryOptions = {
  /** Must not exist. */
  readonly folder: string;
  readonly owner: Owner;
  /** Folders in which a file of the same path may hold the same content already. */
  readonly candidates: readonly string[];
  /** Where the tablespaces were, by OID, and where they go. */
  readonly tablespaces: ReadonlyMap<string, string>;
  readonly tablespaceHome: TablespaceHome;
};

export type Written = { readonly entries: number; readonly bytes: number; readonly reusedBytes: number };

/** Lays a base down as a data directory, with the owner and the permissions that the server demands. @throws RESTORE_FAILED */
export async function writeDataDirectory(base: BaseReader, options: DataDirectoryOptions, run: Run): Promise<Written> {
  const writer = new DirectoryWriter(options);
  let [bytes, reusedBytes] = [0, 0];
  const failed: FileResult<string>[] = [];
  for await (const results of base.extract(writer.targets(base, run), run)) {
    for (const result of results) {
      if (result.error !== undefined) failed.push(result);
      else bytes += result.sizeBytes;
      if (result.error === undefined && result.reused) reusedBytes += result.sizeBytes;
    }
  }
  const [first] = failed;
  if (first !== undefined) {
    const message = `${failed.length} files of the data directory can’t be restored, the first is ${printable(textOf(first.tag))}`;
    throw fromSystem(first.error, 'RESTORE_FAILED', message);
  }
  return { entries: writer.entryCount, bytes, reusedBytes };
}

/** As `Connector.checkEntry`. */
export function checkEntry(entry: StoredEntry): void {
  pathOf(entry);
  decodeAttributes(entry.attributes);
}

class DirectoryWriter {
  readonly #options: DataDirectoryOptions;
  readonly #folders = new Set<string>();
  entryCount = 0;

  constructor(options: DataDirectoryOptions) {
    this.#options = options;
    const { folder, tablespaces, tablespaceHome, owner } = options;
    this.#makeFolder(Buffer.from(folder));
    for (const name of FOLDERS) this.#ensureFolder(name);
    makeTablespaces(folder, tablespaces, tablespaceHome, owner);
    for (const oid of tablespaces.keys()) this.#folders.add(`pg_tblspc/${oid}`);
  }

  async *targets(base: BaseReader, run: Run): AsyncGenerator<readonly FileTarget<string>[]> {
    for await (const batch of base.entries(run)) {
      const targets: FileTarget<string>[] = [];
      for (const entry of batch) {
        const name = pathOf(entry);
        if (!isWanted(name)) continue;
        const target = this.#add(name, entry);
        if (target !== undefined) targets.push(target);
      }
      if (targets.length > 0) yield targets;
    }
  }

  #add(name: string, entry: StoredEntry): FileTarget<string> | undefined {
    const { folder, owner } = this.#options;
    const attributes = decodeAttributes(entry.attributes);
    this.entryCount++;
    if (attributes.type === 'folder') {
      this.#ensureFolder(name);
      return undefined;
    }
    const parent = dirname(name);
    if (parent !== '.') this.#ensureFolder(parent);
    const path = pathIn(folder, name);
    const mode = attributes.mode & 0o770;
    if (entry.content === undefined) {
      closeSync(openSync(path, 'wx', 0o600));
      chownSync(path, owner.uid, owner.gid);
      chmodSync(path, mode);
      utimesSync(path, attributes.mtimeS, attributes.mtimeS);
      return undefined;
    }
    const mtimeNs = BigInt(attributes.mtimeS) * 1_000_000_000n;
    return {
      tag: name,
      entry,
      path,
      fileSizeBytes: entry.content.sizeBytes,
      candidate: this.#candidateFor(name, entry.content.sizeBytes),
      finish: { ...owner, mode, mtimeNs, atimeNs: mtimeNs },
    };
  }

  #candidateFor(name: string, sizeBytes: number): Uint8Array | undefined {
    for (const folder of this.#options.candidates) {
      const path = pathIn(folder, name);
      const found = lstatSync(path, { throwIfNoEntry: false });
      if (found?.isFile() === true && found.size === sizeBytes) return path;
    }
    return undefined;
  }

  #ensureFolder(name: string): void {
    if (this.#folders.has(name)) return;
    const parent = dirname(name);
    if (parent !== '.') this.#ensureFolder(parent);
    this.#makeFolder(pathIn(this.#options.folder, name));
    this.#folders.add(name);
  }

  #makeFolder(path: Buffer): void {
    const { uid, gid } = this.#options.owner;
    mkdirSync(path, { mode: 0o700 });
    chownSync(path, uid, gid);
    chmodSync(path, 0o700);
  }
}

/** Names need not be text in any encoding: a string has a byte of it in each of its characters. */
function pathIn(folder: string, name: string): Buffer {
  return Buffer.concat([Buffer.from(`${folder}/`), Buffer.from(name, 'latin1')]);
}

/** The path of an entry in its data directory, a character for each byte. @throws PATH_ESCAPES for one that would lead out of it */
function pathOf({ name }: { readonly name: Uint8Array }): string {
  const path = Buffer.from(name).toString('latin1');
  const parts = path.split('/');
  if (path.includes('\0') || parts.some((part) => part === '' || part === '.' || part === '..')) {
    throw new TidemarkError('PATH_ESCAPES', `the base holds an entry with the name ${printable(textOf(path))}`);
  }
  return path;
}

function textOf(name: string): string {
  return Buffer.from(name, 'latin1').toString();
}

/** What lies beside the data directory in a base, or what a restored server gets otherwise, is not. */
function isWanted(name: string): boolean {
  if (LEFT_OUT.has(name) || LEFT_OUT_FOLDERS.some((folder) => name.startsWith(folder))) return false;
  return !name.startsWith('pg_wal/') || name.endsWith('.history');
}
