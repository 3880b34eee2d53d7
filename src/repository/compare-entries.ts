import { compareBytes, equalBytes } from '../core/bytes.ts';
import type { BaseReader, StoredEntry } from '../core/restorer.ts';
import type { Run } from '../core/run.ts';
import { holdSame } from './compare-bases.ts';
import type { EntryDifference } from './compare-bases.ts';

/** Whatever hands out entries in order, and its writer: only what one writer wrote has the same ids. */
export type ComparedEntries = { readonly reader: BaseReader; readonly credential: string };

const BATCH = 256;

/** What is not the same in two of them, names ascending, entry by entry. Contents of two writers are read to compare them. */
export async function* diffEntries(
  before: ComparedEntries,
  after: ComparedEntries,
  run: Run,
): AsyncGenerator<readonly EntryDifference[]> {
  const left = singly(before.reader.entries(run));
  const right = singly(after.reader.entries(run));
  let [old, now] = [await left.next(), await right.next()];
  let batch: EntryDifference[] = [];
  while (old.done !== true || now.done !== true) {
    const [one, other] = [old.value ?? undefined, now.value ?? undefined];
    const order = one === undefined ? 1 : other === undefined ? -1 : compareBytes(one.name, other.name);
    const pair = { before: order <= 0 ? one : undefined, after: order >= 0 ? other : undefined };
    const difference = await differenceOf(pair, [before, after], run);
    if (difference !== undefined) batch.push(difference);
    if (order <= 0) old = await left.next();
    if (order >= 0) now = await right.next();
    if (batch.length < BATCH) continue;
    yield batch;
    batch = [];
  }
  if (batch.length > 0) yield batch;
}

async function differenceOf(
  { before, after }: { readonly before: StoredEntry | undefined; readonly after: StoredEntry | undefined },
  [old, now]: readonly [ComparedEntries, ComparedEntries],
  run: Run,
): Promise<EntryDifference | undefined> {
  const name = (after ?? before)?.name ?? new Uint8Array(0);
  if (before === undefined || after === undefined) return { name, before, after, sameContent: false };
  const sameContent = await holdSame(old, now, [before, after], run);
  if (sameContent && equalBytes(before.attributes, after.attributes)) return undefined;
  return { name, before, after, sameContent };
}

async function* singly(batches: AsyncIterable<readonly StoredEntry[]>): AsyncGenerator<StoredEntry, undefined> {
  for await (const batch of batches) yield* batch;
}
