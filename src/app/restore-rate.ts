import type { Json } from '../repository/format/json.ts';
import type { EndedRun } from '../repository/runs.ts';

/** Newer restores say more about the next one than older ones. */
const MOST_RUNS = 5;
/** What takes less is mostly the time to begin and to end. */
const LEAST_MS = 1_000;
const LEAST_BYTES = 1024 * 1024;

type Measured = { readonly bytes: number; readonly durationMs: number };

/**
 * How long it may take to bring back so many bytes, by what the last restores took. Undefined where none was long enough to tell. `runs`: newest first;
 * no more are asked for than are needed.
 */
export function estimateMs(runs: Iterable<EndedRun>, bytes: number): number | undefined {
  const measured = Iterator.from(runs)
    .filter(({ command, outcome }) => command === 'restore' && (outcome === 'done' || outcome === 'damaged'))
    .map(({ summary, durationMs }): Measured => ({ bytes: writtenBytes(summary), durationMs }))
    .filter((one) => one.durationMs >= LEAST_MS && one.bytes >= LEAST_BYTES)
    .take(MOST_RUNS)
    .toArray();
  const total = measured.reduce(
    (sum, one): Measured => ({ bytes: sum.bytes + one.bytes, durationMs: sum.durationMs + one.durationMs }),
    { bytes: 0, durationMs: 0 },
  );
  return total.bytes === 0 ? undefined : Math.ceil((bytes * total.durationMs) / total.bytes);
}

/** What a restore has fetched and written; what was there already cost hardly anything. */
function writtenBytes(summary: Readonly<Record<string, Json>> | undefined): number {
  const stores = summary?.['stores'];
  const list: readonly Json[] = Array.isArray(stores) ? stores : [];
  return list.reduce<number>((sum, store) => sum + countOf(store, 'bytes') - countOf(store, 'reusedBytes'), 0);
}

function countOf(value: Json, field: string): number {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return 0;
  const count = new Map(Object.entries(value)).get(field);
  return typeof count === 'number' ? count : 0;
}
