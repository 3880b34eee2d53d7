import { chownSync, lstatSync, mkdirSync, readdirSync, readlinkSync, renameSync, rmSync, symlinkSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import type { Owner } from './owner.ts';

/** Where one restore puts tablespaces: each has a folder there that bears the restore's id, so that it never meets another one's. */
export type TablespaceHome = {
  readonly id: string;
  /** For those that are not named otherwise. */
  readonly folder: string;
  /** Folders by OID, or by where the tablespace was. */
  readonly named: Readonly<Record<string, string>>;
};

export function tablespaceHome(target: string, id: string, named: Readonly<Record<string, string>>): TablespaceHome {
  return { id, folder: `${target}-tablespaces`, named };
}

function locationOf({ id, folder, named }: TablespaceHome, oid: string, path: string | undefined): string {
  return join(named[oid] ?? named[path ?? ''] ?? folder, `restore-${id}-${oid}`);
}

/** Makes an empty folder for each tablespace of a base, and the links to them. What an earlier call of the same restore left there is removed. */
export function makeTablespaces(
  dataDirectory: string,
  found: ReadonlyMap<string, string>,
  home: TablespaceHome,
  owner: Owner,
): void {
  for (const [oid, path] of found) {
    const location = locationOf(home, oid, path);
    makeParent(location, owner);
    rmSync(location, { recursive: true, force: true });
    mkdirSync(location, { mode: 0o700 });
    chownSync(location, owner.uid, owner.gid);
    symlinkSync(location, join(dataDirectory, 'pg_tblspc', oid));
  }
}

/** Moves those that lie in the data directory itself, which the log has created, to where the others are. The server must not run. */
export function moveOut(dataDirectory: string, home: TablespaceHome, owner: Owner): void {
  for (const oid of readdirSync(join(dataDirectory, 'pg_tblspc'))) {
    const link = join(dataDirectory, 'pg_tblspc', oid);
    if (!lstatSync(link).isDirectory()) continue;
    // It lies on the same file system as the data directory, whatever is named: it is moved, not copied.
    const location = locationOf({ ...home, named: {} }, oid, undefined);
    makeParent(location, owner);
    rmSync(location, { recursive: true, force: true });
    renameSync(link, location);
    symlinkSync(location, link);
  }
}

/** Removes the tablespaces of a data directory that a restore has made. Others may be in use by someone else. */
export function removeTablespaces(dataDirectory: string): void {
  const links = join(dataDirectory, 'pg_tblspc');
  if (lstatSync(links, { throwIfNoEntry: false })?.isDirectory() !== true) return;
  for (const oid of readdirSync(links)) {
    if (!lstatSync(join(links, oid)).isSymbolicLink()) continue;
    const location = readlinkSync(join(links, oid));
    if (!/^restore-[a-z0-9-]+$/.test(basename(location)) || !location.endsWith(`-${oid}`)) continue;
    rmSync(location, { recursive: true, force: true });
    removeIfEmpty(dirname(location));
  }
}

function makeParent(location: string, owner: Owner): void {
  const parent = dirname(location);
  if (mkdirSync(parent, { recursive: true, mode: 0o700 }) !== undefined) chownSync(parent, owner.uid, owner.gid);
}

function removeIfEmpty(folder: string): void {
  if (folder.endsWith('-tablespaces') && readdirSync(folder).length === 0) rmSync(folder, { recursive: true });
}
