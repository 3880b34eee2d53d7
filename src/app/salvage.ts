import { toHex } from '../core/bytes.ts';
import type { Connector } from '../core/connector.ts';
import { undecodable } from '../core/entry-check.ts';
import { isTidemarkError } from '../core/errors.ts';
import type { BaseReader, FileTarget, Restorer, RestoreReport, StoredContent, StoredEntry } from '../core/restorer.ts';
import type { Run } from '../core/run.ts';

/** Names of entries by their bytes in hexadecimal. */
type Names = Map<string, Uint8Array>;

/** What turned out to be damaged so far: contents, and what is stored of entries besides. */
type Damaged = { readonly contents: Names; readonly entries: Names };

/** What knows the entries of a base. */
export type EntryDecoder = Pick<Connector<unknown>, 'checkEntry' | 'standIn'>;

export type Salvaged = { readonly report: RestoreReport; readonly damaged: readonly Uint8Array[] };

/**
 * Restores a base without what turns out to be damaged in the repository: as if it had never been in the base. Each round begins anew and finds
 * on the spot what the one before has written. A tree that is damaged itself can't be restored in part. @throws as `restoreBase` for all else
 */
export async function restoreWhole(
  restorer: Restorer,
  base: BaseReader,
  decoder: EntryDecoder,
  run: Run,
): Promise<Salvaged> {
  const damaged: Damaged = { contents: new Map(), entries: new Map() };
  for (;;) {
    const known = damaged.contents.size;
    try {
      const report = await restorer.restoreBase(without(base, damaged, decoder), run);
      return { report, damaged: [...new Map([...damaged.entries, ...damaged.contents]).values()] };
    } catch (error) {
      run.signal.throwIfAborted();
      if (damaged.contents.size === known) throw error;
    }
  }
}

/** The base without what is damaged; what its contents fail with for damage, and what can't be decoded, is added to that. */
function without(base: BaseReader, damaged: Damaged, { checkEntry, standIn }: EntryDecoder): BaseReader {
  const left = new Set(damaged.contents.keys());
  const isLeft = (name: Uint8Array): boolean => left.size > 0 && left.has(toHex(name));
  const owners = new WeakMap<StoredContent, Uint8Array>();
  const noteFailed = (name: Uint8Array | undefined, error: unknown): void => {
    if (name === undefined || !isTidemarkError(error, 'REPOSITORY_DAMAGED')) return;
    damaged.contents.set(toHex(name), name);
  };
  const isGood = (entry: StoredEntry): boolean => undecodable(checkEntry, entry) === undefined;
  const instead = async ({ name }: StoredEntry, run: Run): Promise<StoredEntry | undefined> => {
    damaged.entries.set(toHex(name), Uint8Array.from(name));
    return await standIn?.(base, name, run);
  };
  return {
    entryCount: base.entryCount,
    contentBytes: base.contentBytes,
    async *entries(run, range) {
      for await (const batch of base.entries(run, range)) {
        const kept: StoredEntry[] = [];
        for (const entry of batch) {
          const { name, content } = entry;
          if (isLeft(name)) continue;
          if (content !== undefined) owners.set(content, name);
          const taken = isGood(entry) ? entry : await instead(entry, run);
          if (taken !== undefined) kept.push(taken);
        }
        if (kept.length > 0) yield kept;
      }
    },
    async find(name, run) {
      const entry = isLeft(name) ? undefined : await base.find(name, run);
      return entry === undefined || isGood(entry) ? entry : await instead(entry, run);
    },
    async *read(content, run) {
      try {
        yield* base.read(content, run);
      } catch (error) {
        noteFailed(owners.get(content), error);
        throw error;
      }
    },
    async *extract<Tag>(
      targets: AsyncIterable<readonly FileTarget<Tag>[]>,
      run: Run,
      onBytes?: (bytes: number) => void,
    ) {
      const names = new Map<Tag, Uint8Array>();
      for await (const results of base.extract(remembering(targets, names), run, onBytes)) {
        for (const { tag, error } of results) {
          noteFailed(names.get(tag), error);
          names.delete(tag);
        }
        yield results;
      }
    },
  };
}

async function* remembering<Tag>(
  targets: AsyncIterable<readonly FileTarget<Tag>[]>,
  names: Map<Tag, Uint8Array>,
): AsyncGenerator<readonly FileTarget<Tag>[]> {
  for await (const batch of targets) {
    for (const { tag, entry } of batch) names.set(tag, entry.name);
    yield batch;
  }
}
