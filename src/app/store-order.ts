import type { StoreConfiguration } from '../config/configuration.ts';

/**
 * Stores in the order in which they are read: one that refers to another comes before it, so that what it names is there. Otherwise as
 * in the manifest, which has no cycles.
 */
export function orderStores(stores: readonly StoreConfiguration[]): readonly StoreConfiguration[] {
  const ordered: StoreConfiguration[] = [];
  const placed = new Set<string>();
  const place = (store: StoreConfiguration): void => {
    if (placed.has(store.name)) return;
    placed.add(store.name);
    for (const other of stores) if (other.references.includes(store.name)) place(other);
    ordered.push(store);
  };
  for (const store of stores) place(store);
  return ordered;
}
