import { TidemarkError } from '../../core/errors.ts';
import type { ObjectStore } from '../object-store.ts';
import { forward } from './forward.ts';

/** Refuses to create and delete with UNSUPPORTED, whatever the key; everything else goes through. Owns `store`. */
export function readOnlyStore(store: ObjectStore): ObjectStore {
  const refuse = async (action: string): Promise<never> => {
    throw new TidemarkError('UNSUPPORTED', `${store.url} is open for reading only: can't ${action}`, {
      hint: 'Open the repository for writing.',
    });
  };
  return {
    ...forward(store),
    create: (key) => refuse(`create ${key}`),
    delete: (keys) => refuse(keys.length === 1 ? `delete ${keys[0]}` : `delete ${keys.length} objects`),
  };
}
