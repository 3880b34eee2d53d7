import type { Configuration, StoreConfiguration } from '../config/configuration.ts';
import { TidemarkError } from '../core/errors.ts';
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
