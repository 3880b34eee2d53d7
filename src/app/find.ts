import { loadConnector } from '../connectors/load.ts';
import type { Connector, ListedEntry } from '../core/connector.ts';
import { TidemarkError } from '../core/errors.ts';
import { must } from '../core/must.ts';
import { own } from '../core/own.ts';
import type { Position } from '../core/position.ts';
import type { StoredEntry, LoggedEntry } from '../core/restorer.ts';
import type { Run } from '../core/run.ts';
import type { BaseRecord, MarkRecord } from '../repository/catalogue.ts';
import { isSameEntry, walkBases } from '../repository/compare-bases.ts';
import type { ComparedBase, HeldName, HeldState } from '../repository/compare-bases.ts';
import { readNameStates, stateAt } from '../restore/name-states.ts';
import type { NameStates } from '../restore/name-states.ts';
import { nameKey } from '../restore/overlay.ts';
import type { OpenApplication } from './application.ts';
import { findMark, tellOfStores } from './look.ts';
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

/** What is looked at of a store: bases of one kind, oldest first. */
type Searched = { readonly store: string; readonly kind: string; readonly bases: readonly SearchedBase[] };

type SearchedBase = { readonly record: BaseRecord; readonly marks: readonly SearchedMark[] };

/** `position`: undefined for the base's own place, to which no log has to lead. */
type SearchedMark = {
  readonly id: string;
  readonly position: Position | undefined;
  readonly floor: string | undefined;
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
  const { stores } = request;
  const chosen = new Set<MarkRecord>();
  for (const target of request.marks) {
    const record = findMark(application, reader, target, stores);
    tellOfStores(application, reader, record, { target, stores });
    chosen.add(record);
  }
  const marks = reader.catalogue.marks.filter((record) => chosen.size === 0 || chosen.has(record));
  const searched = collect(reader, marks).filter(({ store }) => stores.length === 0 || stores.includes(store));
  const unknown = stores.find((name) => !searched.some(({ store }) => store === name));
  if (unknown !== undefined) throw new TidemarkError('TARGET_UNKNOWN', `no mark has the store ${unknown}`);
  return {
    found: (async function* () {
      for (const item of searched) yield* search(application, reader, { ...item, patterns: request.patterns }, run);
    })(),
  };
}

function collect(reader: RepositoryReader, marks: readonly MarkRecord[]): readonly Searched[] {
  const held = new Map<string, { readonly record: BaseRecord; readonly marks: SearchedMark[] }>();
  for (const { mark, standsOn } of marks) {
    for (const [store, key] of standsOn) {
      const record = reader.catalogue.bases.get(key);
      const position = own(mark.positions, store);
      // What is lost was told of already, when the catalogue was read.
      if (record === undefined || position === undefined || mark.missing.includes(store)) continue;
      const isCut = record.summary.cut.order === position.order;
      const isBase = isCut && reader.catalogue.histories.get(store)?.segmentsFrom(record, position).length === 0;
      const floor = own(mark.floors, store)?.order;
      const found = { id: mark.id, position: isBase ? undefined : position, floor };
      const known = held.get(key);
      if (known === undefined) held.set(key, { record, marks: [found] });
      else known.marks.push(found);
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
  { context }: OpenApplication,
  reader: RepositoryReader,
  { store, kind, bases, patterns }: Searched & { readonly patterns: readonly string[] },
  run: Run,
): AsyncGenerator<readonly FoundResult[]> {
  const connector = await loadConnector(kind);
  const matches = connector.matcher(patterns);
  const isOpaque = connector.log === 'bytes';
  if (isOpaque) context.warn(`of ${store} only bases are searched, not its log, which only a restore applies`);
  if (connector.readWithin !== undefined) {
    yield* searchWithin(connector, reader, { store, bases, matches }, run);
    return;
  }
  const isWanted = (entry: LoggedEntry): boolean =>
    'removed' in entry
      ? // Of what kind it was only the base knows.
        (['file', 'folder'] as const).some((type) =>
          matches({ name: connector.entryPath(entry.name), type, sizeBytes: 0 }),
        )
      : matches(connector.describe(entry));
  const compared = await Promise.all(
    bases.map(
      async ({ record }): Promise<ComparedBase> => ({
        reader: await reader.base(record, run),
        credential: record.credential,
      }),
    ),
  );
  const logs: NameStates[] = [];
  for (const { record, marks } of bases) {
    const upTo = isOpaque ? undefined : furthest(marks);
    logs.push(upTo === undefined ? new Map() : await readNameStates(reader, { base: record, upTo, isWanted }, run));
  }
  for await (const batch of withLogs(walkBases(compared, { skipCommon: false }, run), logs)) {
    const found = batch.flatMap((name) =>
      holdersOf(name, bases, logs).flatMap(({ entry, marks }): FoundResult[] => {
        const listed = connector.describe(entry);
        return matches(listed) ? [{ store, ...listedResult(listed), marks: marks().toSorted() }] : [];
      }),
    );
    if (found.length > 0) yield found;
  }
}

/** Of a connector whose names lie within an entry: in each base by itself, since whether they are the same can't be told from the entry. */
async function* searchWithin(
  connector: Pick<Connector<unknown>, 'list'>,
  reader: RepositoryReader,
  { store, bases, matches }: Pick<Searched, 'store' | 'bases'> & { matches(entry: ListedEntry): boolean },
  run: Run,
): AsyncGenerator<readonly FoundResult[]> {
  for (const { record, marks } of bases) {
    const base = await reader.base(record, run);
    const holders = marks.map(({ id }) => id).toSorted();
    for await (const batch of connector.list(base, new Uint8Array(0), { recursive: true }, run)) {
      const found = batch.filter(matches).map((entry) => ({ store, ...listedResult(entry), marks: holders }));
      if (found.length > 0) yield found;
    }
  }
}

/** Of marks over one base the place that its log has to be read to; undefined when none needs the log. */
function furthest(marks: readonly SearchedMark[]): Position | undefined {
  return marks
    .flatMap(({ position }) => position ?? [])
    .reduce<Position | undefined>(
      (last, one) => (last === undefined || one.order > last.order ? one : last),
      undefined,
    );
}

/** A name, `key` as `NameStates` has it, and its states in the bases themselves. */
type FoundName = { readonly key: string; readonly states: readonly HeldState[] };

/** All names of the bases, and between them those of which only a log tells, ascending. */
async function* withLogs(
  walked: AsyncIterable<readonly HeldName[]>,
  logs: readonly NameStates[],
): AsyncGenerator<readonly FoundName[]> {
  const logged = [...new Set(logs.flatMap((log) => [...log.keys()]))].sort();
  let at = 0;
  const before = function* (key: string | undefined): Generator<FoundName> {
    for (let next = logged[at]; next !== undefined && (key === undefined || next <= key); next = logged[at]) {
      at++;
      if (next !== key) yield { key: next, states: [] };
    }
  };
  for await (const batch of walked) {
    yield batch.flatMap(({ name, states }) => {
      const key = nameKey(name);
      return [...before(key), { key, states }];
    });
  }
  yield [...before(undefined)];
}

type Holders = { readonly entry: StoredEntry; readonly marks: () => readonly string[] };

/** The states of a name at the marks, and which of them have each. */
function holdersOf(
  { key, states }: FoundName,
  bases: readonly SearchedBase[],
  logs: readonly NameStates[],
): readonly Holders[] {
  // Most names are in no log, and looked at once for all marks.
  if (!logs.some((log) => log.has(key))) {
    return states.map(({ entry, bases: having }) => ({
      entry,
      marks: () => having.flatMap((index) => must(bases[index], 'a base that was searched').marks.map(({ id }) => id)),
    }));
  }
  const holders: { readonly entry: StoredEntry; readonly credential: string; readonly marks: string[] }[] = [];
  for (const [index, { record, marks }] of bases.entries()) {
    const inBase = states.find(({ bases: having }) => having.includes(index))?.entry;
    const logged = logs[index]?.get(key) ?? [];
    for (const { id, position, floor } of marks) {
      const state = position && stateAt(logged, { order: position.order, floor });
      const entry = state === undefined ? inBase : state.entry;
      if (entry === undefined) continue;
      const known = holders.find((one) => one.credential === record.credential && isSameEntry(one.entry, entry));
      if (known === undefined) holders.push({ entry, credential: record.credential, marks: [id] });
      else known.marks.push(id);
    }
  }
  return holders.map(({ entry, marks }) => ({ entry, marks: () => marks }));
}
