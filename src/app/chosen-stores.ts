import type { Configuration, StoreConfiguration } from '../config/configuration.ts';
import { TidemarkError } from '../core/errors.ts';
import type { Catalogue } from '../repository/catalogue.ts';
import { orderStores } from './store-order.ts';

/** The stores of these names, or all, in the order in which they are read. @throws USAGE for a name that the manifest has not */
export function chosenStores(configuration: Configuration, names: readonly string[]): readonly StoreConfiguration[] {
  const unknown = names.find((name) => !configuration.stores.some((store) => store.name === name));
  if (unknown !== undefined) {
    const known = configuration.stores.map(({ name }) => name).join(', ');
    throw new TidemarkError('USAGE', `there is no store ${unknown}`, { hint: `The manifest has: ${known}.` });
  }
  return orderStores(configuration.stores).filter((store) => names.length === 0 || names.includes(store.name));
}

/**
 * The stores of these names, or all: of the manifest, in its order, then those that only the repository still knows.
 * @throws USAGE for a name that neither has
 */
export function knownStores(
  { histories }: Pick<Catalogue, 'histories'>,
  configuration: Configuration | undefined,
  names: readonly string[],
): readonly string[] {
  const known = new Set([
    ...(configuration?.stores ?? []).map(({ name }) => name),
    ...[...histories.keys()].toSorted(),
  ]);
  const unknown = names.find((name) => !known.has(name));
  if (unknown !== undefined) {
    const hint = known.size === 0 ? 'There is none yet.' : `There are: ${[...known].join(', ')}.`;
    throw new TidemarkError('USAGE', `there is no store ${unknown}`, { hint });
  }
  return [...known].filter((name) => names.length === 0 || names.includes(name));
}
