import { loadConnector } from '../connectors/load.ts';
import type { Connector } from '../core/connector.ts';
import { TidemarkError } from '../core/errors.ts';
import { must } from '../core/must.ts';
import type { Run } from '../core/run.ts';
import type { RepositoryReader } from '../repository/reader.ts';
import { openPoint } from '../restore/point.ts';
import type { PointReader } from '../restore/point.ts';
import type { OpenApplication } from './application.ts';
import type { ListedResult, Streamed } from './results.ts';
import { shownPoint } from './look.ts';
import { findTarget } from './restore-target.ts';
import { listedResult, shownName } from './shown.ts';

export type BrowseRequest = { readonly target: string; readonly store: string; readonly path: Uint8Array };

/** What lies at a path of a store at a target. Found when it resolves; read while it is pulled. @throws ENTRY_NOT_FOUND */
export async function listAt(
  application: OpenApplication,
  reader: RepositoryReader,
  request: BrowseRequest & { readonly recursive: boolean },
  run: Run,
): Promise<Streamed<ListedResult>> {
  const { base, connector } = await openPointAt(application, reader, request, run);
  await using unlessPulled = new AsyncDisposableStack();
  unlessPulled.use(base);
  const { path, recursive } = request;
  const listing = connector.list(base, path, { recursive }, run)[Symbol.asyncIterator]();
  // The first batch is pulled now, so that an unknown path fails before anything is printed.
  const first = await listing.next();
  unlessPulled.move();
  return (async function* () {
    using _closed = base;
    for (let batch = first; batch.done !== true; batch = await listing.next()) {
      yield batch.value.map(listedResult);
    }
  })();
}

/** The bytes of one file, in pieces. @throws ENTRY_NOT_FOUND, also for what has no bytes */
export async function* readAt(
  application: OpenApplication,
  reader: RepositoryReader,
  request: BrowseRequest,
  run: Run,
): AsyncGenerator<Uint8Array> {
  const { base, connector } = await openPointAt(application, reader, request, run);
  using _closed = base;
  const shown = shownName(request.path).name;
  const entry = await base.find(connector.entryName(request.path), run);
  if (entry === undefined) {
    const within = await connector.readWithin?.(base, request.path, run);
    if (within === undefined) throw new TidemarkError('ENTRY_NOT_FOUND', `the base has no ${shown}`);
    yield* within;
    return;
  }
  const content = connector.content(entry);
  if (content === undefined) throw new TidemarkError('ENTRY_NOT_FOUND', `${shown} is not a file`);
  yield* content.read(base, run);
}

/** A store at a target, ready to be looked into. Dispose `base` when nothing is read any more. */
async function openPointAt(
  application: OpenApplication,
  reader: RepositoryReader,
  { target, store }: BrowseRequest,
  run: Run,
): Promise<{ readonly base: PointReader; readonly connector: Connector<unknown> }> {
  const request = { target, stores: [store], perStore: false };
  const { stores } = await findTarget(application, reader, request, run);
  const { point } = must(stores[0], 'the store that was asked for');
  const connector = await loadConnector(reader.content(point.base).connector);
  return { base: await openPoint(reader, shownPoint(application, connector, point), run), connector };
}
