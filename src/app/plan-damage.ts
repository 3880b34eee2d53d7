import { isTidemarkError } from '../core/errors.ts';
import type { Run } from '../core/run.ts';
import { writerKeysOf } from '../repository/access.ts';
import { packKeysOf } from '../repository/catalogue.ts';
import { objectsOf } from '../repository/log-needs.ts';
import { segmentPackKeys } from '../repository/log-view.ts';
import type { RepositoryReader } from '../repository/reader.ts';
import type { Point } from '../restore/point.ts';

type Planned = { readonly store: string; readonly point: Point };

/** What is missing or damaged of what points need, as far as can be told without reading data: one text a store that lacks something. */
export async function damageOf(
  reader: RepositoryReader,
  stores: readonly Planned[],
  run: Run,
): Promise<readonly string[]> {
  const needed = new Map(stores.map(({ store, point }) => [store, objectsOfPoint(point)]));
  const missing = new Set([...needed.values()].flatMap((keys) => [...keys]));
  const folders = new Set([...missing].map((key) => key.slice(0, key.lastIndexOf('/') + 1)));
  for (const folder of folders) {
    for await (const batch of reader.access.objects.list(folder, '', run)) {
      for (const { key } of batch) missing.delete(key);
    }
  }
  return stores.flatMap(({ store, point }) => {
    const gone = [...(needed.get(store) ?? [])].filter((key) => missing.has(key));
    const [first] = gone;
    const unreadable = unreadableOf(reader, point);
    return [
      ...(unreadable === undefined ? [] : [`${store}: ${unreadable}`]),
      ...(first === undefined ? [] : [`${store}: ${goneText(gone.length, first)}`]),
    ];
  });
}

/** Records were read already. */
function objectsOfPoint({ base, segments }: Point): ReadonlySet<string> {
  const logs = segments.flatMap((segment) => [...segmentPackKeys(segment), ...objectsOf(segment).slice(1)]);
  return new Set([...packKeysOf(base), ...logs]);
}

function goneText(count: number, first: string): string {
  const what = count === 1 ? `${first}, which it needs, is` : `${count} objects that it needs, such as ${first}, are`;
  return `${what} missing in the repository; \`tidemark verify\` tells what is lost, and restore --skip-damaged brings back the rest`;
}

function unreadableOf(reader: RepositoryReader, { base }: Point): string | undefined {
  try {
    reader.content(base);
    const certificate = reader.catalogue.log.certificates.byId.get(base.credential);
    const keys = certificate && writerKeysOf(reader.access, certificate);
    return keys === undefined ? `the key of the writer ${base.credential} is missing` : undefined;
  } catch (error) {
    if (!isTidemarkError(error, 'REPOSITORY_DAMAGED')) throw error;
    return error.message;
  }
}
