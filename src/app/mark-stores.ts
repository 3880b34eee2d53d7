import type { Mark } from '../repository/mark.ts';
import { markState, newestMark } from '../repository/mark.ts';

type Marked = { readonly mark: Mark };

/** Of these marks those that are about one of the stores, also where it is missing. All of them where there are no stores. */
export function marksOf<Record extends Marked>(marks: readonly Record[], stores: readonly string[]): readonly Record[] {
  if (stores.length === 0) return marks;
  return marks.filter(({ mark }) => stores.some((store) => hasStore(mark, store) || mark.missing.includes(store)));
}

/** Of these marks those that have all of the stores; where none has, those that have one of them. */
export function marksWith<Record extends Marked>(
  marks: readonly Record[],
  stores: readonly string[],
): readonly Record[] {
  const whole = marks.filter(({ mark }) => stores.every((store) => hasStore(mark, store)));
  return whole.length > 0 ? whole : marks.filter(({ mark }) => stores.some((store) => hasStore(mark, store)));
}

export function hasStore({ positions }: Mark, store: string): boolean {
  return Object.hasOwn(positions, store);
}

/** Of these marks those from which all of the stores can be restored, whatever else they are without. */
export function marksWhole<Record extends Marked>(
  marks: readonly Record[],
  stores: readonly string[],
): readonly Record[] {
  return marks.filter(({ mark }) => stores.every((store) => hasStore(mark, store) && !mark.missing.includes(store)));
}

/** All stores that these marks have a position of, by name. */
export function storesOf(marks: readonly Marked[]): readonly string[] {
  return [...new Set(marks.flatMap(({ mark }) => Object.keys(mark.positions)))].toSorted();
}

export type MeantStores = {
  /** As the mark was asked for. */
  readonly target: string;
  /** Those that are named. */
  readonly stores: readonly string[];
  /** Those of the manifest; none without one. */
  readonly manifest: readonly string[];
  /** The time that was asked for. */
  readonly upToMs?: number | undefined;
};

/**
 * What an operator has to hear of stores before a mark stands for all that is meant. What it says itself to be missing is not repeated, and a
 * store that is named and not there is an error elsewhere. `marks` ascend by time.
 */
export function storeNotes(marks: readonly Marked[], chosen: Marked, meant: MeantStores): readonly string[] {
  const { stores, manifest } = meant;
  const complete = marks.filter(({ mark }) => markState(mark) === 'complete');
  const wanted = stores.length === 0 ? manifest : stores;
  if (wanted.length === 0) return elsewhereNotes(complete, chosen);
  const lacking = stores.length === 0 ? lackingNotes(chosen, manifest) : [];
  return [...lacking, ...newerNotes(complete, chosen, { ...meant, stores: wanted }), ...partialNotes(chosen, meant)];
}

/** That the mark was taken for what is named, although it is without other stores. */
function partialNotes({ mark }: Marked, { target, stores }: MeantStores): readonly string[] {
  if (stores.length === 0 || mark.missing.length === 0 || isCalled(mark, target)) return [];
  return [`mark ${mark.id} has ${stores.join(', ')}; it is partial, without ${mark.missing.join(', ')}`];
}

/** Whether the target names the mark, rather than what it has or when it was. */
function isCalled({ id, name }: Mark, target: string): boolean {
  return target !== 'latest' && (name === target || id.startsWith(target));
}

function lackingNotes({ mark }: Marked, manifest: readonly string[]): readonly string[] {
  const lacking = manifest.filter((store) => !hasStore(mark, store) && !mark.missing.includes(store));
  if (lacking.length === 0) return [];
  if (lacking.length < manifest.length) {
    return [`mark ${mark.id} does not have ${lacking.join(', ')}, which the manifest names`];
  }
  const others = storesOf([{ mark }]).join(', ');
  return [`mark ${mark.id} has none of the stores of the manifest (${lacking.join(', ')}), but ${others || 'nothing'}`];
}

/** Each store that only other marks have, with the newest mark that has it. */
function elsewhereNotes(complete: readonly Marked[], { mark }: Marked): readonly string[] {
  const lacking = storesOf(complete).filter((store) => !hasStore(mark, store) && !mark.missing.includes(store));
  const byMark = Map.groupBy(lacking, (store) => newestMark(marksWith(complete, [store]))?.mark.id);
  return [...byMark].map(
    ([id, stores]) =>
      `mark ${mark.id} does not have ${stores.join(', ')}, which mark ${id} has: name a store to go to the newest mark that has it`,
  );
}

/** The newest of all marks that are about the stores, where another one was taken because it has all of them. */
function newerNotes(
  complete: readonly Marked[],
  chosen: Marked,
  { target, stores, upToMs = Infinity }: MeantStores,
): readonly string[] {
  if (isCalled(chosen.mark, target)) return [];
  const newest = newestMark(marksOf(complete, stores).filter(({ mark }) => mark.atMs <= upToMs));
  if (newest === undefined) return [];
  const lacking = stores.filter((store) => hasStore(chosen.mark, store) && !hasStore(newest.mark, store));
  if (lacking.length === 0) return [];
  return [`mark ${newest.mark.id} is newer, but does not have ${lacking.join(', ')}`];
}
