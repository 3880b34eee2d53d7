import { existsSync, readdirSync } from 'node:fs';
import { TidemarkError } from '../../core/errors.ts';

/**
 * Where tablespaces are to lie, by OID, for those that the operator has named by OID or by where they were.
 * @throws RESTORE_CONFLICT when something is there already
 */
export function mappedTablespaces(
  found: ReadonlyMap<string, string>,
  wanted: Readonly<Record<string, string>>,
): ReadonlyMap<string, string> {
  const mapped = new Map<string, string>();
  for (const [oid, path] of found) {
    const to = wanted[oid] ?? wanted[path];
    if (to === undefined) continue;
    if (existsSync(to) && readdirSync(to).length > 0) {
      throw new TidemarkError('RESTORE_CONFLICT', `the folder ${to} for the tablespace ${oid} is not empty`);
    }
    mapped.set(oid, to);
  }
  return mapped;
}
