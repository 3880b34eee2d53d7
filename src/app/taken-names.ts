import { TidemarkError } from '../core/errors.ts';
import type { Finding } from '../core/finding.ts';
import type { RepositoryAccess } from '../repository/access.ts';
import { newestBase } from '../repository/catalogue.ts';
import type { BaseRecord, Catalogue } from '../repository/catalogue.ts';
import { isDamage } from '../repository/format/byte-cursor.ts';
import { manifestContent } from '../repository/reader.ts';

/** What goes by the name of a store in the repository. */
type Known = {
  readonly access: RepositoryAccess;
  readonly catalogue: Pick<Catalogue, 'bases'>;
  readonly application: string;
  readonly stores: readonly string[];
};

type TakenName = { readonly store: string; readonly by: string };

/** Stores of an application whose newest base another application took, which needs the same name in its manifest and nothing else. */
function takenNames({ access, catalogue, application, stores }: Known): readonly TakenName[] {
  return stores.flatMap((store) => {
    const base = newestBase(catalogue, store);
    const by = base && applicationOf(access, base);
    return by === undefined || by === application ? [] : [{ store, by }];
  });
}

/** Undefined where the key at hand does not tell, or what tells it is damaged. */
function applicationOf(access: RepositoryAccess, base: BaseRecord): string | undefined {
  if (base.summary.application !== undefined) return base.summary.application;
  if (access.keyring?.content === undefined) return undefined;
  try {
    return manifestContent(access, base).application;
  } catch (error) {
    if (!isDamage(error)) throw error;
    return undefined;
  }
}

/** Two applications would write into one history. `takeOver`: stores of which that is meant. @throws STORE_NAME_TAKEN */
export function refuseTakenNames(known: Known & { readonly takeOver: readonly string[] }): void {
  const [first, ...others] = takenNames(known).filter(({ store }) => !known.takeOver.includes(store));
  if (first === undefined) return;
  const told = [first, ...others].map((taken) => `${taken.store}: ${messageOf(taken, known)}`).join('; ');
  throw new TidemarkError('STORE_NAME_TAKEN', told, { hint: hintOf(first, known) });
}

export function takenNameFindings(known: Known): readonly Finding[] {
  return takenNames(known).map((taken) => ({
    code: 'STORE_NAME_TAKEN',
    severity: 'error',
    store: taken.store,
    message: messageOf(taken, known),
    hint: hintOf(taken, known),
  }));
}

function messageOf({ by }: TakenName, { application }: Known): string {
  return `the application ${by} backs up a store of this name into this repository, and this is ${application}`;
}

function hintOf({ store, by }: TakenName, { application }: Known): string {
  return `Give the store another name in the manifest, or ${application} a repository of its own. Only if ${application} is what ${by} was called before: \`tidemark backup --take-over ${store}\`, once.`;
}
