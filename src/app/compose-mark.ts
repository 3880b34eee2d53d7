import type { Configuration } from '../config/configuration.ts';
import type { RandomBytes } from '../core/run.ts';
import { newMarkId } from '../repository/mark.ts';
import type { Mark } from '../repository/mark.ts';
import type { RepositoryWriter, WrittenBase } from '../repository/writer.ts';

export type MarkParts = {
  readonly configuration: Configuration;
  readonly name?: string | undefined;
  readonly tags: readonly string[];
  readonly random: RandomBytes;
  /** Bases that were just taken, by store. */
  readonly taken: ReadonlyMap<string, WrittenBase>;
  /** Stores that were to be backed up and could not. */
  readonly failed: readonly string[];
  readonly standingBase: RepositoryWriter['standingBase'];
};

type Part = Pick<WrittenBase, 'cut' | 'key'> & { readonly fromMs: number; readonly toMs: number };

/**
 * A clock mark whose positions are the cuts. A store that was not asked for enters with its newest base, which widens the skew; one that
 * failed, or has no base, is missing, so that `latest` stays at the mark before.
 */
export function composeMark(parts: MarkParts): Mark {
  const stores = parts.configuration.stores.map(({ name }) => ({ name, part: partOf(name, parts) }));
  const found = stores.flatMap(({ name, part }) => (part === undefined ? [] : [{ name, part }]));
  const toMs = Math.max(0, ...found.map(({ part }) => part.toMs));
  const fromMs = Math.min(toMs, ...found.map(({ part }) => part.fromMs));
  return {
    id: newMarkId(toMs, parts.random(4)),
    name: parts.name,
    tags: [...new Set(parts.tags)],
    class: 'clock',
    atMs: toMs,
    skewMs: toMs - fromMs,
    positions: Object.fromEntries(found.map(({ name, part }) => [name, part.cut])),
    bases: Object.fromEntries(found.map(({ name, part }) => [name, part.key])),
    missing: stores.filter(({ part }) => part === undefined).map(({ name }) => name),
  };
}

function partOf(store: string, { taken, failed, standingBase }: MarkParts): Part | undefined {
  const base = taken.get(store);
  if (base !== undefined) {
    return { cut: base.cut, key: base.key, fromMs: base.startedAtMs, toMs: base.endedAtMs };
  }
  const older = failed.includes(store) ? undefined : standingBase(store);
  if (older === undefined) return undefined;
  const { cut, startedAtMs, createdAtMs } = older.summary;
  return { cut, key: older.key, fromMs: startedAtMs, toMs: createdAtMs };
}
