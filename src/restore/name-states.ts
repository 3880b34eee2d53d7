import { TidemarkError } from '../core/errors.ts';
import { firstIndex } from '../core/first-index.ts';
import type { Position } from '../core/position.ts';
import type { StoredEntry, LoggedEntry } from '../core/restorer.ts';
import type { Run } from '../core/run.ts';
import type { BaseRecord } from '../repository/catalogue.ts';
import { readLog } from '../repository/log-reader.ts';
import type { RepositoryReader } from '../repository/reader.ts';
import { keepEntry, nameKey } from './overlay.ts';

const MOST_BYTES = 512 * 1024 * 1024;

/** From a commit on; `undefined` where nothing is there any more. */
export type NamedState = { readonly order: string; readonly entry: StoredEntry | undefined };

/** By name, a character a byte: what a log makes of it, ascending. */
export type NameStates = ReadonlyMap<string, readonly NamedState[]>;

/**
 * What the log after a base makes of some names, up to a position that it leads to. All of it is in memory.
 * @throws UNSUPPORTED when that is too much; REPOSITORY_DAMAGED
 */
export async function readNameStates(
  reader: RepositoryReader,
  options: {
    readonly base: BaseRecord;
    readonly upTo: Position;
    readonly isWanted: (entry: LoggedEntry) => boolean;
    readonly maxBytes?: number | undefined;
  },
  run: Run,
): Promise<NameStates> {
  const { base, upTo, isWanted, maxBytes = MOST_BYTES } = options;
  const states = new Map<string, NamedState[]>();
  const segments = reader.catalogue.histories.get(base.summary.history)?.segmentsFrom(base, upTo) ?? [];
  if (segments.length === 0) return states;
  let sizeBytes = 0;
  for await (const batch of readLog(reader.access, { segments, after: base.summary.logFrom, upTo }, run)) {
    for (const { entries, commit } of batch) {
      for (const found of entries) {
        if (!isWanted(found)) continue;
        const { entry, bytes } = keepEntry(found);
        const name = nameKey(entry.name);
        sizeBytes += bytes;
        if (sizeBytes > maxBytes) throw tooMany(base.summary.store);
        const known = states.get(name);
        const state = { order: commit.position.order, entry: 'removed' in entry ? undefined : entry };
        if (known === undefined) states.set(name, [state]);
        else known.push(state);
      }
    }
  }
  return states;
}

function tooMany(store: string): TidemarkError {
  return new TidemarkError('UNSUPPORTED', `what the log of ${store} has of these names does not fit into memory`, {
    hint: 'Look for fewer names, or only in some marks with --mark.',
  });
}

/** The state at a place; what was removed after `floor` is still there. Undefined where the log does not tell of it until then. */
export function stateAt(
  states: readonly NamedState[],
  { order, floor }: { readonly order: string; readonly floor?: string | undefined },
): NamedState | undefined {
  const isKept = (state: NamedState): boolean =>
    floor !== undefined && state.entry === undefined && state.order > floor;
  const after = firstIndex(states.length, (index) => (states[index]?.order ?? '') > order);
  for (let at = after - 1; at >= 0; at--) {
    const state = states[at];
    if (state !== undefined && !isKept(state)) return state;
  }
  return undefined;
}
