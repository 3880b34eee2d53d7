import { loadConnector } from '../connectors/load.ts';
import { TidemarkError } from '../core/errors.ts';
import { must } from '../core/must.ts';
import type { Run } from '../core/run.ts';
import type { BaseRecord, MarkRecord } from '../repository/catalogue.ts';
import { walkBases } from '../repository/compare-bases.ts';
import type { OpenApplication } from './application.ts';
import { findMark } from './look.ts';
import type { RepositoryReader } from './look.ts';
import type { FindResult, FoundResult } from './results.ts';
import { listedResult } from './shown.ts';

export type FindRequest = {
  /** In gitignore's syntax. */
  readonly patterns: readonly string[];
  /** Names; none means all. */
  readonly stores: readonly string[];
  /** Targets; none means all marks. */
  readonly marks: readonly string[];
};

/** Bases of one store and kind, oldest first, and the marks that have each of them. */
type Searched = {
  readonly store: string;
  readonly kind: string;
  readonly bases: readonly { readonly record: BaseRecord; readonly marks: readonly string[] }[];
};

/**
 * Looks for names over marks. An entry that is the same in several is found once, with all of them; a folder that matches stands for what
 * it holds. @throws as `findMark`, and TARGET_UNKNOWN for a store that no mark has
 */
export async function findEntries(
  application: OpenApplication,
  reader: RepositoryReader,
  request: FindRequest,
  run: Run,
): Promise<FindResult> {
  const chosen = new Set(request.marks.map((target) => findMark(application, reader, target).mark.id));
  const marks = reader.catalogue.marks.filter(({ mark }) => chosen.size === 0 || chosen.has(mark.id));
  const searched = collect(reader, marks).filter(
    ({ store }) => request.stores.length === 0 || request.stores.includes(store),
  );
  const unknown = request.stores.find((name) => !searched.some(({ store }) => store === name));
  if (unknown !== undefined) throw new TidemarkError('TARGET_UNKNOWN', `no mark has the store ${unknown}`);
  return {
    found: (async function* () {
      for (const item of searched) yield* search(reader, item, request.patterns, run);
    })(),
  };
}

function collect(reader: RepositoryReader, marks: readonly MarkRecord[]): readonly Searched[] {
  const held = new Map<string, { readonly record: BaseRecord; readonly marks: string[] }>();
  for (const { mark } of marks) {
    for (const key of Object.values(mark.bases)) {
      const record = reader.catalogue.bases.get(key);
      // One that is lost was told of already, when the catalogue was read.
      if (record === undefined) continue;
      const known = held.get(key);
      if (known === undefined) held.set(key, { record, marks: [mark.id] });
      else known.marks.push(mark.id);
    }
  }
  const kinds = Map.groupBy(
    held.values(),
    ({ record }) => `${record.summary.store} ${reader.content(record).connector}`,
  );
  return [...kinds].map(([name, bases]) => {
    const [store = '', kind = ''] = name.split(' ');
    return { store, kind, bases };
  });
}

async function* search(
  reader: RepositoryReader,
  { store, kind, bases }: Searched,
  patterns: readonly string[],
  run: Run,
): AsyncGenerator<readonly FoundResult[]> {
  const connector = await loadConnector(kind);
  const matches = connector.matcher(patterns);
  const compared = await Promise.all(
    bases.map(async ({ record }) => ({ reader: await reader.base(record, run), credential: record.credential })),
  );
  for await (const batch of walkBases(compared, { skipCommon: false }, run)) {
    const found = batch.flatMap(({ states }) =>
      states.flatMap(({ entry, bases: holders }): FoundResult[] => {
        const listed = connector.describe(entry);
        if (!matches(listed)) return [];
        const marks = holders.flatMap((index) => must(bases[index], 'a base that was searched').marks);
        return [{ store, ...listedResult(listed), marks: marks.toSorted() }];
      }),
    );
    if (found.length > 0) yield found;
  }
}
