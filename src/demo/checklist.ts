import { createHash } from 'node:crypto';
import { lstatSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';

/** What a tree holds, by path: type, permissions, time to the nanosecond, digest of the content or target of the link. */
export type Checklist = ReadonlyMap<string, string>;

/** Made by a walk of its own, so that a comparison proves more than that Tidemark agrees with itself. */
export function checklistOf(root: string): Checklist {
  const list = new Map<string, string>([['.', describe(root)]]);
  for (const entry of readdirSync(root, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    list.set(path.slice(root.length + 1), describe(path));
  }
  return list;
}

/** Paths that are not the same in both. */
export function differences(left: Checklist, right: Checklist): readonly string[] {
  const paths = new Set([...left.keys(), ...right.keys()]);
  return [...paths].filter((path) => left.get(path) !== right.get(path)).toSorted();
}

function describe(path: string): string {
  const stats = lstatSync(path, { bigint: true });
  const common = `${stats.mode.toString(8)} ${stats.uid}:${stats.gid} ${stats.mtimeNs}`;
  if (stats.isSymbolicLink()) return `${common} -> ${readlinkSync(path)}`;
  if (!stats.isFile()) return common;
  return `${common} ${stats.nlink} ${createHash('sha256').update(readFileSync(path)).digest('hex')}`;
}
