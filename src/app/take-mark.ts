import type { Configuration, StoreConfiguration } from '../config/configuration.ts';
import { operatorError, TidemarkError } from '../core/errors.ts';
import { must } from '../core/must.ts';
import { own } from '../core/own.ts';
import { isSamePlace } from '../core/position.ts';
import type { Position } from '../core/position.ts';
import type { Run, Runtime } from '../core/run.ts';
import type { OpenApplication } from './application.ts';
import { holdStores } from './hold-stores.ts';
import { newMarkId } from '../repository/mark.ts';
import type { Mark } from '../repository/mark.ts';
import type { StandingBase } from './known-history.ts';
import type { StoreRecording } from './store-recording.ts';
import { orderStores } from './store-order.ts';

export type MarkOptions = {
  readonly runtime: Runtime;
  readonly configuration: Pick<Configuration, 'stores'>;
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
  const stores = orderStores(configuration.stores);
  await labelAll(options, run);
  const beganMs = clock.monotonicMs();
  const referenced = new Set(configuration.stores.flatMap(({ references }) => references));
  const positionOf = (name: string): Promise<Position> | undefined => recordings.get(name)?.position(run);
  const floors = await readAll(
    stores.filter(({ name }) => referenced.has(name)),
    positionOf,
    run,
  );
  const read = await readAll(stores, positionOf, run);
  const atMs = clock.nowMs();
  const standing = standingBases(options, read.positions);
  const since = [...standing.values()].map(({ fromMs }) => atMs - fromMs);
  const skewMs = Math.max(Math.ceil(clock.monotonicMs() - beganMs), ...since);
  // What came up to a position is waited for only now: it takes time, and changes nothing of the moment.
  const { positions, missing } = await readAll(
    stores.filter(({ name }) => own(read.positions, name) !== undefined),
    async (name) => {
      const position = must(own(read.positions, name), 'a position that was read');
      await recordings.get(name)?.received(position, run);
      return position;
    },
    run,
  );
  return {
    id: newMarkId(atMs, runtime.random(4)),
    name: options.name,
    tags: [...new Set(options.tags)],
    class: 'clock',
    atMs,
    skewMs,
    positions,
    bases: Object.fromEntries([...standing].map(([name, { key }]) => [name, key])),
    floors: floorsBelow(floors.positions, positions),
    missing: [...read.missing, ...missing],
  };
}

/**
 * As `takeClockMark` while all stores are held still. It is sealed when they were for the whole time, and what was read at the end is what was read at
 * the beginning. @throws as `holdStores`; FAILED when something changed or time was up
 */
export async function takeSealedMark(application: OpenApplication, options: MarkOptions, run: Run): Promise<Mark> {
  const stores = orderStores(options.configuration.stores);
  await using held = await holdStores(application, stores, run);
  const first = await takeClockMark(options, run);
  const second = await takeClockMark(options, run);
  if (held.isExpired) throw notSealed('reading them took longer than they may be held');
  if (!standsAtSamePlace(first, second)) throw notSealed('something was changed while they were held');
  const { floors: _, ...sealed } = first;
  return { ...sealed, class: 'sealed' };
}

function notSealed(why: string): TidemarkError {
  return new TidemarkError('FAILED', `no sealed mark was taken: ${why}`, {
    hint: 'Check that the pause stops everything that writes, or take a mark without --sealed.',
  });
}

/** Where a store stands at its newest base, that counts from when it was begun. */
function standingBases(
  { recordings }: MarkOptions,
  positions: Readonly<Record<string, Position>>,
): ReadonlyMap<string, StandingBase> {
  const standing = new Map<string, StandingBase>();
  for (const [name, position] of Object.entries(positions)) {
    const base = recordings.get(name)?.standingBase;
    if (base !== undefined && isSamePlace(base.cut, position)) standing.set(name, base);
  }
  return standing;
}

/** A store that can't be labelled is marked all the same: its position counts. */
async function labelAll({ name, recordings, runtime }: MarkOptions, run: Run): Promise<void> {
  if (name === undefined) return;
  for (const [store, recording] of recordings) {
    try {
      await recording.label(name, run);
    } catch (error) {
      run.signal.throwIfAborted();
      const told = operatorError(error, `${store} can’t be labelled`);
      if (told === undefined) throw error;
      runtime.logger.log('warn', 'a mark’s name was not written into a store', {
        store,
        mark: name,
        why: told.message,
      });
    }
  }
}

/** One after another. A store that fails is missing. */
async function readAll(
  stores: readonly StoreConfiguration[],
  read: (name: string) => Promise<Position> | undefined,
  run: Run,
): Promise<Read> {
  const positions: Record<string, Position> = {};
  const missing: string[] = [];
  for (const { name } of stores) {
    try {
      const position = await read(name);
      if (position === undefined) missing.push(name);
      else positions[name] = position;
    } catch (error) {
      run.signal.throwIfAborted();
      if (operatorError(error, `${name} can’t be read`) === undefined) throw error;
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
    const position = own(positions, store);
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
      const [one, other] = [own(left.positions, name), own(right.positions, name)];
      return one?.lineage === other?.lineage && one?.order === other?.order;
    })
  );
}
