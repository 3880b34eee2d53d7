import type { Configuration, StoreConfiguration } from '../config/configuration.ts';
import { TidemarkError } from '../core/errors.ts';
import type { Position } from '../core/position.ts';
import type { Run, Runtime } from '../core/run.ts';
import { newMarkId } from '../repository/mark.ts';
import type { Mark } from '../repository/mark.ts';
import type { StoreRecording } from './store-recording.ts';
import { orderStores } from './store-order.ts';

export type MarkOptions = {
  readonly runtime: Runtime;
  readonly configuration: Configuration;
  readonly recordings: ReadonlyMap<string, StoreRecording>;
  readonly name?: string | undefined;
  readonly tags: readonly string[];
};

type Read = { readonly positions: Readonly<Record<string, Position>>; readonly missing: readonly string[] };

/**
 * Reads the position of every store, one that refers to others before these, and of those a floor before all. A store that can't be read is missing.
 * What the mark stands on has been received when it resolves, but need not be in the repository.
 */
export async function takeClockMark(options: MarkOptions, run: Run): Promise<Mark> {
  const { runtime, configuration, recordings } = options;
  const { clock } = runtime;
  const beganMs = clock.monotonicMs();
  const stores = orderStores(configuration.stores);
  const referenced = new Set(configuration.stores.flatMap(({ references }) => references));
  const floors = await readAll(
    stores.filter(({ name }) => referenced.has(name)),
    recordings,
    run,
  );
  const { positions, missing } = await readAll(stores, recordings, run);
  const atMs = clock.nowMs();
  return {
    id: newMarkId(atMs, runtime.random(2)),
    name: options.name,
    tags: [...new Set(options.tags)],
    class: 'clock',
    atMs,
    skewMs: Math.ceil(clock.monotonicMs() - beganMs),
    positions,
    bases: {},
    floors: floorsBelow(floors.positions, positions),
    missing,
  };
}

async function readAll(
  stores: readonly StoreConfiguration[],
  recordings: ReadonlyMap<string, StoreRecording>,
  run: Run,
): Promise<Read> {
  const positions: Record<string, Position> = {};
  const missing: string[] = [];
  for (const { name } of stores) {
    try {
      const position = await recordings.get(name)?.position(run);
      if (position === undefined) missing.push(name);
      else positions[name] = position;
    } catch (error) {
      run.signal.throwIfAborted();
      if (!(error instanceof TidemarkError)) throw error;
      missing.push(name);
    }
  }
  return { positions, missing };
}

/** Only where something happened since the floor was read does it matter. */
function floorsBelow(
  floors: Readonly<Record<string, Position>>,
  positions: Readonly<Record<string, Position>>,
): Mark['floors'] {
  const below = Object.entries(floors).filter(([store, floor]) => {
    const position = positions[store];
    return position?.lineage === floor.lineage && floor.order < position.order;
  });
  return below.length === 0 ? undefined : Object.fromEntries(below);
}

/** Whether two marks stand at the same place in every store. */
export function standsAtSamePlace(left: Mark, right: Mark): boolean {
  const names = Object.keys(left.positions);
  return (
    names.length === Object.keys(right.positions).length &&
    left.missing.join() === right.missing.join() &&
    names.every((name) => {
      const [one, other] = [left.positions[name], right.positions[name]];
      return one?.lineage === other?.lineage && one?.order === other?.order;
    })
  );
}
