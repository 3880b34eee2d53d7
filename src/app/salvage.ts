import { toHex } from '../core/bytes.ts';
import { isTidemarkError } from '../core/errors.ts';
import type { BaseReader, FileTarget, Restorer, RestoreReport, StoredContent } from '../core/restorer.ts';
import type { Run } from '../core/run.ts';

/** Names of entries by their bytes in hexadecimal. */
type Names = Map<string, Uint8Array>;

export type Salvaged = { readonly report: RestoreReport; readonly damaged: readonly Uint8Array[] };

/**
 * Restores a base without what turns out to be damaged in the repository: as if it had never been in the base. Each round begins anew and finds
 * on the spot what the one before has written. A tree that is damaged itself can't be restored in part. @throws as `restoreBase` for all else
 */
export async function restoreWhole(restorer: Restorer, base: BaseReader, run: Run): Promise<Salvaged> {
  const damaged: Names = new Map();
  for (;;) {
    const known = damaged.size;
    try {
      return { report: await restorer.restoreBase(without(base, damaged), run), damaged: [...damaged.values()] };
    } catch (error) {
      run.signal.throwIfAborted();
      if (damaged.size === known) throw error;
    }
  }
}

/** The base without these names; what its contents fail with for damage is added to them. */
function without(base: BaseReader, damaged: Names): BaseReader {
  const left = new Set(damaged.keys());
  const isLeft = (name: Uint8Array): boolean => left.size > 0 && left.has(toHex(name));
  const owners = new WeakMap<StoredContent, Uint8Array>();
  return {
    entryCount: base.entryCount,
    contentBytes: base.contentBytes,
    async *entries(run, range) {
      for await (const batch of base.entries(run, range)) {
        for (const { name, content } of batch) if (content !== undefined) owners.set(content, name);
        yield batch.filter(({ name }) => !isLeft(name));
      }
    },
    find: async (name, run) => (isLeft(name) ? undefined : await base.find(name, run)),
    async *read(content, run) {
      try {
        yield* base.read(content, run);
      } catch (error) {
        const name = owners.get(content);
        if (name !== undefined && isTidemarkError(error, 'REPOSITORY_DAMAGED')) damaged.set(toHex(name), name);
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
          const name = names.get(tag);
          names.delete(tag);
          if (name !== undefined && isTidemarkError(error, 'REPOSITORY_DAMAGED')) damaged.set(toHex(name), name);
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
